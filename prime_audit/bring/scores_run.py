"""Auditing plain scores: no model, no torch."""

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, Evidence
from prime_audit.bring.advice import advise
from prime_audit.bring.outcome import Brought
from prime_audit.bring.panels import MODEL, base_panels, evidence_panels, score_panel
from prime_audit.bring.scores_file import ScoresFile, read_scores
from prime_audit.core import digest_file, printable
from prime_audit.errors import ConfigError

Direction = Literal["higher", "lower"]


def _no_signal(evidence: Evidence) -> NDArray[np.float64]:
    raise ValueError("the attack 'score' stands for a column of scores; there is no evidence to score")


SCORE: Final = Attack("score", "A2", ("score",), "a column of the file", 1, _no_signal)


def bring_scores(path: Path, direction: Direction | None) -> Brought:
    """Reads scores that were made elsewhere and runs what can be run on them.

    Args:
        path: The file; see `read_scores`.
        direction: Whether a higher or a lower score means a member. Log-probabilities need none.

    Returns:
        The panels.

    Raises:
        ConfigError: The direction is missing, or contradicts what the file holds.
        DataError: The file cannot be read or holds faults.
    """
    file = read_scores(path)
    _check_direction(path, file, direction)
    name, digest = path.name, digest_file(path)
    brought = Brought(
        listed=file.listed,
        methods={},
        primary=SCORE.id,
        label=f"What {name} scores",
        settings={"scores": name, "sha256": digest, "direction": direction},
        described={"data_digest": digest},
        notes=_notes(file),
    )
    if file.score is not None:
        panel = score_panel(file.listed, file.score if direction == "higher" else -file.score)
        return replace(brought, methods={(MODEL, SCORE.id): panel}, known={SCORE.id: SCORE})
    if file.target is None:
        raise ValueError("a file of scores holds scores or log-probabilities")
    evidence = Evidence(target=file.target, reference=file.reference)
    methods, lacking = evidence_panels(MODEL, file.listed, evidence, file.held)
    return replace(
        brought,
        methods=methods,
        alarms=base_panels(file.listed, evidence, file.held),
        primary="reference" if file.reference is not None else "loss",
        lacking={attack: advise(parts, "scores") for attack, parts in lacking.items()},
    )


def _notes(file: ScoresFile) -> tuple[str, ...]:
    left = ", ".join(printable(column, 40) for column in file.ignored)
    return (f"columns that mean nothing here were left aside: {left}",) if left else ()


def _check_direction(path: Path, file: ScoresFile, direction: Direction | None) -> None:
    if file.score is not None and direction is None:
        raise ConfigError(
            f"{path}: does a higher or a lower score mean a member? It is never guessed",
            hint="add --direction higher, or --direction lower (for a loss)",
        )
    if file.score is None and direction is not None:
        raise ConfigError(
            f"{path}: holds log-probabilities, where higher means a member: the direction is known",
            hint="leave out --direction; for losses, give minus their values as 'logp'",
        )
