"""Figures of the swap designs: what one record changes in a merge, and what a whole sharer changes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from attacks.statistics import Estimate, auc, mean_interval, sign_flip
from prime_audit.core import Seeds
from prime_audit.results import CI, Metric, N, SliceValue
from prime_audit.study.units import Outputs

_NOBODY: Final = "no merge holds a module that could be compared"


def swap_metrics(outputs: Outputs, seeds: Seeds) -> list[Metric]:
    """Collects the matched swaps of records.

    A swap's change is the mean of how much likelier each of its two records is under the merge that holds
    it, where the module's weight is negative with its sign turned over; it is averaged over targets first,
    then over a sharer's swaps. Merges without the module (weight 0, or the base in their place) are counted
    as attempted and left out: there is nothing in them to see. The coin decided which of the two records was
    the member, so the test flips the sign of whole swaps.

    Args:
        outputs: Outputs of all units; those of ``swapped/<method>/...`` are read.
        seeds: Seeds of the test.

    Returns:
        Per method and kind of weights: ``swap.gap`` in nats per token with a t interval over sharers,
        ``swap.share`` of swaps whose change is above zero, and ``swap.p``.
    """
    metrics: list[Metric] = []
    for method, units in _by_method(outputs, "swapped").items():
        gaps = [gap for unit in units for gap in unit["gaps"]]
        for weights in dict.fromkeys(gap["weights"] for gap in gaps):
            by_swap: dict[tuple[str, int], list[float]] = defaultdict(list)
            for gap in gaps:
                if gap["weights"] == weights:
                    change = _oriented(gap["weight"], (gap["member"] + gap["nonmember"]) / 2)
                    by_swap[gap["sharer"], gap["swap"]] += change
            metrics += _figures("swap", method, {"weights": weights}, by_swap, seeds, "nats per token")
    return metrics


def pool_metrics(outputs: Outputs, seeds: Seeds) -> list[Metric]:
    """Collects the sharer-level swap.

    A sharer's change is its user-inference score where its own pool is merged minus that where the other one
    is, for the same targets and records, so that resembling the target cancels. Where the weight of the
    sharer's module is negative its sign is turned over; a sharer of weight 0 is attempted and left out.

    Args:
        outputs: Outputs of all units; those of ``pool/<method>/...`` are read.
        seeds: Seeds of the test.

    Returns:
        Per method and kind of records: ``user.gap`` in nats per record with a t interval over sharers,
        ``user.share`` of sharers whose change is above zero, ``user.p``, and ``user.auc``: how well merged
        sharers are told from sharers of the same rank who would have been merged.
    """
    metrics: list[Metric] = []
    for method, units in _by_method(outputs, "pool").items():
        scores = [score for unit in units for score in unit["scores"]]
        for records in dict.fromkeys(score["records"] for score in scores):
            kept = [score for score in scores if score["records"] == records]
            by_sharer: dict[tuple[str, int], list[float]] = defaultdict(list)
            for score in kept:
                change = _oriented(score["weight"], score["merged"] - score["apart"])
                by_sharer[score["sharer"], 0] += change
            part = {"records": records}
            metrics += _figures("user", method, part, by_sharer, seeds, "nats per record")
            merged, apart = (
                np.array([one for score in kept for one in _oriented(score["weight"], score[side])])
                for side in ("merged", "apart")
            )
            found = Estimate(auc(merged, apart), None, "") if len(merged) else Estimate(None, None, _NOBODY)
            n = N(
                attempted=len(kept),
                scored=len(merged),
                failed=0,
                users=len({score["sharer"] for score in kept if score["weight"]}),
            )
            metrics.append(_metric("user.auc", method, part, found, n, "probability"))
    return metrics


def _oriented(weight: float, value: float) -> list[float]:
    """A value seen from a module's side; nothing where the merge does not hold the module."""
    return [] if weight == 0 else [value if weight > 0 else -value]


def _by_method(outputs: Outputs, stage: str) -> Mapping[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, output in outputs.items():
        first, _, rest = name.partition("/")
        if first == stage:
            found[rest.partition("/")[0]].append(output)
    return found


def _figures(
    name: str,
    method: str,
    part: Mapping[str, SliceValue],
    changes: Mapping[tuple[str, int], Sequence[float]],
    seeds: Seeds,
    unit: str,
) -> Iterator[Metric]:
    """The mean change, the share of changes above zero, and the test, over a sharer's changes by target."""
    known = {key: float(np.mean(values)) for key, values in changes.items() if values}
    by_sharer: dict[str, list[float]] = defaultdict(list)
    for (sharer, _), change in known.items():
        by_sharer[sharer].append(change)
    n = N(attempted=len(changes), scored=len(known), failed=0, users=len(by_sharer))
    nothing = Estimate(None, None, _NOBODY)
    means = np.array([np.mean(values) for values in by_sharer.values()])
    gap = mean_interval(means, unit="sharers") if known else nothing
    yield _metric(f"{name}.gap", method, part, gap, n, unit)
    values = np.array(list(known.values()))
    above = Estimate(float(((values > 0) + 0.5 * (values == 0)).mean()), None, "") if known else nothing
    yield _metric(f"{name}.share", method, part, above, n, "probability")
    rng = seeds.generator("sign-flips", name, method, *map(str, part.values()))
    p = Estimate(sign_flip(values, rng), None, "") if known else nothing
    yield _metric(f"{name}.p", method, part, p, n, "probability")


def _metric(
    name: str,
    method: str,
    part: Mapping[str, SliceValue],
    estimate: Estimate,
    n: N,
    unit: str,
) -> Metric:
    interval = estimate.interval
    value = estimate.value
    return Metric(
        id=name,
        method=method,
        adversary="A2",
        reference="base" if name.startswith("user") else None,
        subject="sharer",
        slice=dict(part),
        value=value,
        status="undefined" if value is None else "ok",
        reason=estimate.reason or ("" if value is not None else "there is nothing to compare"),
        ci=None
        if interval is None
        else CI(low=interval.low, high=interval.high, level=interval.level, how=interval.how),
        n=n,
        direction=None if name.endswith(".p") else "lower",
        unit=unit,
    )
