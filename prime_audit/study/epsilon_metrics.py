"""Lower bounds on epsilon from the canary arm, and what they say of a claim of differential privacy."""

from collections.abc import Sequence
from typing import Final

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
from prime_audit.modules import Guarantee, read_guarantee
from prime_audit.results import Metric, N
from prime_audit.study.canary_metrics import Seen, SeenByMethod
from prime_audit.study.plan_attacks import CONTROL_BASE
from prime_audit.study.planner import OWN_MODULE
from prime_audit.study.planting import plant_unit
from prime_audit.study.workbench import Workbench

LEVEL: Final = 0.95
# Where nobody claims one.
DELTA: Final = 1e-5
# The guess is made about one example that stands once in one sharer's training.
UNIT: Final = "example"
_FAMILY: Final = ("one-run", "f-dp")


def epsilon_metrics(bench: Workbench, found: SeenByMethod) -> list[Metric]:
    """Bounds the epsilon of every method from below, by the canaries of one occurrence.

    One run has many canaries, one coin each (arXiv 2305.08846; 2410.22235 assuming a Gaussian trade-off).
    They went through training and merging with the weights as they were, not through the selection of
    sharers. A canary's score is how far it stands out among the candidates of its type, less what the base
    shows, and its mean over the merges that its sharer is in.

    Args:
        bench: The workbench.
        found: What `seen_by_method` read.

    Returns:
        ``epsilon.lower`` and ``epsilon.ceiling`` per method and bound, in nats. Beside a claim of the
        training of the sharers' modules a bound of their own modules above it at 99.9 % is an error.
    """
    promise = _promise(bench)
    metrics: list[Metric] = []
    for method, seen in found.items():
        once = [one for one in seen if one.canary.repetitions == 1]
        if method == CONTROL_BASE or not once:
            continue
        bounds = _Bounds(bench, once, promise.delta if promise else None)
        checked = _checked(bounds, promise) if promise and method == OWN_MODULE else {}
        for name in _FAMILY:
            metrics += _metrics(method, name, bounds.at(name, LEVEL), once, checked.get(name))
    return metrics


class _Bounds:
    """Both bounds of one method at any level, with scores and coins fixed."""

    def __init__(self, bench: Workbench, seen: Sequence[Seen], delta: float | None) -> None:
        self.scores = np.array([one.stands_out for one in seen])
        inside = np.array([one.canary.inserted for one in seen], dtype=np.bool_)
        self.flips = CoinFlips(inside, str(bench.canaries.manifest()["commitment"]))
        self.delta = DELTA if delta is None else delta

    def at(self, name: str, level: float, claimed: float | None = None) -> EpsilonBound:
        bound = epsilon_one_run if name == "one-run" else epsilon_f_dp
        return bound(self.scores, self.flips, unit=UNIT, delta=self.delta, level=level, claimed=claimed)


def _promise(bench: Workbench) -> Guarantee | None:
    """The largest epsilon that the planted modules' training claims per example; None without a claim.

    Every canary is in the training of one sharer, so that a claim about each holds for all together.
    """
    if bench.config.sharers.privacy is None:
        return None
    keys = [bench.keys[plant_unit(user)] for user in bench.canaries.canaries]
    found = [promise for key in keys if (promise := read_guarantee(bench.store.path(key)))]
    if not found or found[0].unit != UNIT:
        return None
    worst = max(found, key=lambda promise: promise.epsilon)
    return worst.model_copy(update={"delta": max(promise.delta for promise in found)})


def _checked(bounds: _Bounds, promise: Guarantee) -> dict[str, ClaimVerdict]:
    def claim(name: str) -> Claim:
        return Claim(
            name,
            promise.epsilon,
            promise.delta,
            UNIT,
            lambda level: bounds.at(name, level, promise.epsilon),
        )

    verdicts = check_claims([claim(name) for name in _FAMILY])
    return dict(zip(_FAMILY, verdicts, strict=True))


def _metrics(
    method: str, name: str, bound: EpsilonBound, seen: Sequence[Seen], verdict: ClaimVerdict | None
) -> list[Metric]:
    inside = sum(one.canary.inserted for one in seen)
    n = N(attempted=len(seen), scored=len(seen), failed=0, members=inside, nonmembers=len(seen) - inside)
    value, status = bound.value, "ok" if bound.value is not None else "undefined"
    notes = [bound.reason, bound.assumption and f"assuming {bound.assumption}"]
    if verdict is not None:
        notes.append(verdict.reason)
        if verdict.verdict == "error":
            value, status = None, "error"
    reason = "; ".join(dict.fromkeys(note for note in notes if note))
    fields = {
        "method": method,
        "adversary": "A2",
        "reference": "base",
        "subject": "sharer",
        "slice": {"bound": name, "delta": bound.delta, "unit": bound.unit, "level": bound.level},
        "n": n,
        "unit": "epsilon",
    }
    return [
        Metric.model_validate(
            {
                "id": "epsilon.lower",
                "value": value,
                "status": status,
                "reason": reason,
                "direction": "lower",
                **fields,
            }
        ),
        Metric.model_validate({"id": "epsilon.ceiling", "value": bound.ceiling, **fields}),
    ]
