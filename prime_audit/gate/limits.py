"""Absolute limits, judged on the unfavourable end of the interval."""

import math
from typing import Literal, NamedTuple

from attacks.statistics import detectable_auc, records_needed
from prime_audit.gate.schema import Verdict
from prime_audit.results import CI, Metric

_POWER = 0.9


class Outcome(NamedTuple):
    """What an absolute limit says of a metric."""

    verdict: Verdict
    reason: str
    bound: float | None = None
    needed: int | None = None


def keeps(metric: Metric, side: Literal["min", "max"], limit: float) -> Outcome:
    """Set a metric against an absolute limit.

    A `max` must lie above the whole interval and a `min` below it: an estimate inside the limit with an
    interval that reaches over it fails, because absence of evidence is not evidence of absence. An AUC is
    judged on its distance from 1/2 to either side. Where no figure could have kept the limit with so few
    records, nothing is judged, unless the interval lies beyond the limit as a whole.

    Args:
        metric: The metric.
        side: Which limit.
        limit: The limit.

    Returns:
        The outcome.
    """
    if metric.value is None:
        return Outcome("error", f"{metric.status}: {metric.reason}")
    if metric.ci is None:
        return Outcome("error", "there is no interval to judge on")
    value, low, high = _figure(metric, metric.value, metric.ci, side)
    bound = high if side == "max" else low
    end, over = ("upper", "above") if side == "max" else ("lower", "below")
    sign = 1.0 if side == "max" else -1.0
    if sign * (bound - limit) <= 0:
        return Outcome("pass", f"the {end} end of the interval keeps the limit", bound)
    proven = sign * ((low if side == "max" else high) - limit) > 0
    needed = _needed(metric, limit, metric.ci.level) if side == "max" and not proven else None
    if needed is not None:
        what = f"{needed} members and as many non-members" if is_auc(metric) else f"{needed} records"
        return Outcome(
            "error", f"this limit cannot be met with so few records: it needs {what}", bound, needed
        )
    if sign * (value - limit) > 0:
        return Outcome("fail", f"the value itself lies {over} the limit", bound)
    why = f"the value keeps the limit, its interval reaches {over} it: more records would be needed"
    return Outcome("fail", why, bound)


def records_short(limit: float, members: int, nonmembers: int, level: float = 0.95) -> int | None:
    """Say how many records the upper limit on an AUC needs, where so few cannot keep it.

    Args:
        limit: The greatest AUC that is allowed.
        members: Records that were trained on.
        nonmembers: Records that were held out.
        level: Coverage of the interval that the limit is judged on.

    Returns:
        Members that are needed, with as many non-members; None where these suffice. Where nothing leaks, the
        upper end of the interval then keeps the limit nine times in ten.
    """
    tail = (1 - level) / 2
    if not members or not nonmembers or not 0.5 < limit < 1:
        return None
    if detectable_auc(members, nonmembers, _POWER, tail) <= limit:
        return None
    return records_needed(limit, _POWER, tail)


def is_auc(metric: Metric) -> bool:
    """Say whether one half is what chance gives."""
    return metric.id.startswith("mia.auc")


def _figure(metric: Metric, value: float, ci: CI, side: str) -> tuple[float, float, float]:
    """The value and the ends of its interval, as the limit reads them."""
    if side == "min" or not is_auc(metric):
        return value, ci.low, ci.high
    # An attack that ranks members last tells them apart as well as one that ranks them first.
    return max(value, 1 - value), max(ci.low, 1 - ci.high), max(ci.high, 1 - ci.low)


def _needed(metric: Metric, limit: float, level: float) -> int | None:
    """How many records per class the limit needs, where these are too few for any figure to keep it."""
    tail = (1 - level) / 2
    n = metric.n
    if n is None:
        return None
    if is_auc(metric):
        return records_short(limit, n.members or 0, n.nonmembers or 0, level)
    exact = metric.ci is not None and metric.ci.how == "Clopper-Pearson"
    if not exact or not n.members or not 0 < limit < 1:
        return None
    needed = math.ceil(math.log(tail) / math.log1p(-limit))
    return needed if n.members < needed else None
