"""Lower bounds on epsilon from the canary arm, and what they say of a claim of differential privacy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from attacks.statistics import (
    Claim,
    ClaimVerdict,
    CoinFlips,
    EpsilonBound,
    check_claims,
    epsilon_f_dp,
    epsilon_one_run,
)
from prime_audit.errors import ModelError
from prime_audit.modules import Guarantee, read_guarantee
from prime_audit.results import Finding, Metric, N, SliceValue
from prime_audit.study.canary_metrics import Seen, SeenByMethod
from prime_audit.study.canary_totals import crowded
from prime_audit.study.control_names import CONTROL_BASE
from prime_audit.study.planting import plant_unit
from prime_audit.study.workbench import Workbench

LEVEL: Final = 0.95
# Where nobody claims one.
DELTA: Final = 1e-5
# The guess is made about one example that stands once in one sharer's training.
UNIT: Final = "example"
_FAMILY: Final = ("one-run", "f-dp")


@dataclass(frozen=True)
class BoundOfMethod:
    """One lower bound on the epsilon of one method, and what it is held against.

    Attributes:
        method: The method.
        name: The construction: ``one-run`` or ``f-dp``.
        bound: The bound at 95 %; undefined where it could not have exceeded the claim.
        seen: The canaries that it rests on.
        claim: What the training of the planted modules claims; None where it claims nothing.
        verdict: What the bound says of a claim per example; None where there is none.
    """

    method: str
    name: str
    bound: EpsilonBound
    seen: Sequence[Seen]
    claim: Guarantee | None
    verdict: ClaimVerdict | None


def epsilon_bounds(bench: Workbench, found: SeenByMethod) -> list[BoundOfMethod]:
    """Bounds the epsilon of every method from below, by the canaries of one occurrence.

    One run has many canaries, one coin each (arXiv 2305.08846; 2410.22235 assuming a Gaussian trade-off).
    They went through training and merging with the weights as they were, not through the selection of
    sharers. A canary's score is how far it stands out among the candidates of its type, less what the base
    shows, and its mean over the merges that its sharer is in. What is made of a private module is as private
    as it, so that a claim about the sharers' training is held against merges too, all together.

    Args:
        bench: The workbench.
        found: What `seen_by_method` read.

    Returns:
        Both bounds of every method that holds a canary of one occurrence, in the order of ``found``.

    Raises:
        ModelError: A module that was trained privately has lost its guarantee.
    """
    claim = _claim(bench)
    compared = claim is not None and claim.unit == UNIT
    delta = claim.delta if claim is not None and compared else DELTA
    trials = {
        (method, name): _Trial(bench, name, once, delta, claim.epsilon if claim and compared else None)
        for method, seen in found.items()
        if method != CONTROL_BASE and (once := [one for one in seen if one.canary.repetitions == 1])
        for name in _FAMILY
    }
    verdicts = _verdicts(trials, claim) if claim is not None and compared else {}
    return [
        BoundOfMethod(method, name, trial.at(LEVEL), trial.seen, claim, verdicts.get((method, name)))
        for (method, name), trial in trials.items()
    ]


class _Trial:
    """One bound of one method at any level, with scores, coins and claim fixed."""

    def __init__(
        self, bench: Workbench, name: str, seen: Sequence[Seen], delta: float, claimed: float | None
    ) -> None:
        self.seen, self.delta, self.claimed = seen, delta, claimed
        self.bound = epsilon_one_run if name == "one-run" else epsilon_f_dp
        self.scores = np.array([one.stands_out for one in seen])
        inside = np.array([one.canary.inserted for one in seen], dtype=np.bool_)
        self.flips = CoinFlips(inside, str(bench.canaries.manifest()["commitment"]))

    def at(self, level: float) -> EpsilonBound:
        return self.bound(
            self.scores, self.flips, unit=UNIT, delta=self.delta, level=level, claimed=self.claimed
        )


def _claim(bench: Workbench) -> Guarantee | None:
    """The largest epsilon, and delta, that the planted modules' training claims; None without a claim.

    Every canary is in the training of one sharer, so that a claim about each holds for all together.
    """
    if bench.config.sharers.privacy is None or not bench.canaries.canaries:
        return None
    found = []
    for user in bench.canaries.canaries:
        promise = read_guarantee(bench.store.path(bench.keys[plant_unit(user)]))
        if promise is None:
            raise ModelError(
                f"the module of {user} with planted secrets was trained privately and has lost its "
                "privacy.json",
                hint="delete its folder in the cache, and run the study again",
            )
        found.append(promise)
    worst = max(found, key=lambda promise: promise.epsilon)
    return worst.model_copy(update={"delta": max(promise.delta for promise in found)})


def _verdicts(
    trials: Mapping[tuple[str, str], _Trial], claim: Guarantee
) -> dict[tuple[str, str], ClaimVerdict]:
    claims = [
        Claim(f"{method} {name}", claim.epsilon, claim.delta, UNIT, trial.at)
        for (method, name), trial in trials.items()
    ]
    return dict(zip(trials, check_claims(claims), strict=True))


def epsilon_metrics(bounds: Sequence[BoundOfMethod], planted_share: float | None) -> list[Metric]:
    """Writes the bounds as metrics.

    Args:
        bounds: What `epsilon_bounds` found.
        planted_share: Largest share of a sharer's trained tokens that is planted; None if it is not known.

    Returns:
        ``epsilon.lower`` and ``epsilon.ceiling`` per method and bound, in nats; beside a claim
        ``epsilon.claimed`` and ``epsilon.over_claim``, by how much the bound exceeds it, which is an error
        where it does so at 99.9 %, over all bounds together.
    """
    return [metric for bound in bounds for metric in _metrics(bound, planted_share)]


def _metrics(found: BoundOfMethod, planted_share: float | None) -> list[Metric]:
    inside, every = sum(one.canary.inserted for one in found.seen), len(found.seen)
    bound = found.bound
    fields: dict[str, Any] = {
        "method": found.method,
        "adversary": "A2",
        "reference": "base",
        "subject": "sharer",
        "slice": _slice(bound, found.name),
        "n": N(attempted=every, scored=every, failed=0, members=inside, nonmembers=every - inside),
        "unit": "epsilon",
    }
    notes = [bound.reason, bound.assumption and f"assuming {bound.assumption}", crowded(planted_share)]
    lower = Metric(
        id="epsilon.lower",
        value=bound.value,
        status="ok" if bound.value is not None else "undefined",
        reason="; ".join(dict.fromkeys(note for note in notes if note)),
        direction="lower",
        **fields,
    )
    metrics = [lower, Metric(id="epsilon.ceiling", value=bound.ceiling, **fields)]
    if found.claim is not None:
        metrics.append(
            Metric(id="epsilon.claimed", value=found.claim.epsilon, reason=found.claim.covers, **fields)
        )
        metrics.append(_over_claim(found.claim, found.verdict, fields))
    return metrics


def _slice(bound: EpsilonBound, name: str) -> dict[str, SliceValue]:
    return {"bound": name, "delta": bound.delta, "unit": bound.unit, "level": bound.level}


def _over_claim(claim: Guarantee, verdict: ClaimVerdict | None, fields: Mapping[str, Any]) -> Metric:
    value, status = None, "undefined"
    if verdict is None:
        reason = f"not compared: the claim is about one {claim.unit}, the bound about one {UNIT}"
    else:
        reason = verdict.reason
        if verdict.verdict == "error":
            status = "error"
        elif verdict.verdict != "undefined" and verdict.lower.value is not None:
            value, status = verdict.lower.value - verdict.claimed, "ok"
    shown = {"id": "epsilon.over_claim", "value": value, "status": status, "reason": reason}
    return Metric.model_validate({**fields, **shown, "direction": "lower"})


def epsilon_findings(bounds: Sequence[BoundOfMethod]) -> list[Finding]:
    """Words the bounds that exceed a claim; those that do not prove nothing.

    Args:
        bounds: What `epsilon_bounds` found.

    Returns:
        A ``leak`` per method with a bound above what its sharers' training claims, by the surest bound.
    """
    found: dict[str, Finding] = {}
    for level in ("error", "warning"):
        for one in bounds:
            if one.verdict is None or one.verdict.verdict != level or one.method in found:
                continue
            found[one.method] = Finding(
                method=one.method,
                subject="sharer",
                attack="epsilon",
                verdict="leak",
                reason=f"the training's claim of differential privacy is refuted: ε is {one.verdict.reason}",
            )
    return list(found.values())
