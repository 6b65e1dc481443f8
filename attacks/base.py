"""What a membership attack is: a score per record, with the facts that a report must state about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from attacks.arrays import BoolArray, FloatArray
from attacks.evidence import Evidence

# A0 merger or hub; A1 holder of the adapter; A2 interface with token log-probabilities; A3 text only;
# A4 co-sharer; A5 coalition of targets.
ThreatModel = Literal["A0", "A1", "A2", "A3", "A4", "A5"]


@dataclass(frozen=True)
class Attack:
    """A membership attack on token evidence.

    Attributes:
        id: Its name.
        threat_model: The weakest adversary that can run it.
        needs: Parts of the evidence that it reads: arrays of `TokenScores`, or fields of `Evidence`.
        source: The paper that it comes from.
        version: Raised whenever its scores change.
        signal: The formula; it may assume what `score` checks.
        params: Settings of the formula.
        min_tokens: Fewest scored tokens of a record that it can score.
        kind: What it infers.
        oriented: True if members score higher whatever the sign of the merge weight: scores that are compared
            with shadows of the same merge on both sides are not turned over.
        backs_off: Marks the records of the evidence, ``(N,)``, that get another attack's score; or None.
    """

    id: str
    threat_model: ThreatModel
    needs: tuple[str, ...]
    source: str
    version: int
    signal: Callable[[Evidence], FloatArray]
    params: Mapping[str, float] = field(default_factory=dict)
    min_tokens: int = 1
    kind: str = "membership"
    oriented: bool = False
    backs_off: Callable[[Evidence], BoolArray] | None = None

    def score(self, evidence: Evidence) -> FloatArray:
        """Scores every record.

        Args:
            evidence: Evidence about N records, each with at least ``min_tokens`` scored tokens.

        Returns:
            ``(N,)`` finite scores; higher means more like a member.

        Raises:
            ValueError: A record is too short, a part is missing, or a score is not finite.
        """
        short = np.flatnonzero(~usable(self, evidence))
        if len(short):
            raise ValueError(
                f"attack {self.id}: {len(short)} records have fewer than {self.min_tokens} scored tokens "
                f"(first: {short[0]})"
            )
        scores = self.signal(evidence)
        if not np.isfinite(scores).all():
            raise ValueError(f"attack {self.id}: a score is not finite")
        return scores


def missing(attack: Attack, evidence: Evidence) -> tuple[str, ...]:
    """Names the parts of the evidence that an attack needs and that were not measured.

    An attack that compares with a population needs the same parts about the population's records.

    Args:
        attack: The attack.
        evidence: Evidence about N records.

    Returns:
        The parts; empty if the attack can run.
    """
    lacking = [part for part in attack.needs if not evidence.has(part)]
    if "population" in attack.needs and evidence.population is not None:
        own = [part for part in attack.needs if part not in ("population", "corpus")]
        lacking += [f"population.{part}" for part in own if not evidence.population.has(part)]
    return tuple(lacking)


def usable(attack: Attack, evidence: Evidence) -> BoolArray:
    """Says which records an attack can score.

    Args:
        attack: The attack.
        evidence: Evidence about N records.

    Returns:
        ``(N,)`` True where the record has enough scored tokens.

    Raises:
        ValueError: The attack needs parts of the evidence that were not measured.
    """
    if lacking := missing(attack, evidence):
        raise ValueError(f"attack {attack.id}: needs {', '.join(lacking)}, which this evidence does not hold")
    return evidence.target.lengths >= attack.min_tokens
