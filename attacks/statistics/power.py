"""What an audit of some size can see, and how much of a leak a merge leaves."""

import math

from scipy.special import betaincinv, ndtri

from attacks.statistics.estimate import Estimate, Interval


def clopper_pearson(count: float, total: int, level: float = 0.95, *, one_sided: bool = False) -> Interval:
    """Returns the exact interval of a rate (Clopper and Pearson 1934).

    Args:
        count: Successes; not a whole number where ties were split or a mean on a bounded scale stands for it.
        total: Trials, at least one.
        level: Coverage.
        one_sided: Whether each limit by itself holds at this level, as a bound on one side.

    Returns:
        The interval; 0 of 100 has the upper limit .0362, and .0295 one-sided.

    Raises:
        ValueError: The count is not between 0 and the total, or there is no trial.
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"count: {count} of {total} is no rate")
    tail = 1 - level if one_sided else (1 - level) / 2
    low = float(betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return Interval(low, high, level, "Clopper-Pearson, one-sided" if one_sided else "Clopper-Pearson")


def null_deviation(members: int, nonmembers: int) -> float:
    """Returns the standard deviation of an AUC where nothing is to be found, without ties."""
    return math.sqrt((members + nonmembers + 1) / (12 * members * nonmembers))


def detectable_auc(members: int, nonmembers: int, power: float = 0.9, level: float = 0.05) -> float:
    """Returns the AUC that a one-sided test of this size would see.

    Args:
        members: Records of members.
        nonmembers: Records of non-members.
        power: Chance of seeing it.
        level: Chance of seeing something where nothing is.

    Returns:
        The AUC, by the normal approximation of the null; nothing would be seen if it exceeds 1.
    """
    return 0.5 + (float(ndtri(1 - level)) + float(ndtri(power))) * null_deviation(members, nonmembers)


def records_needed(limit: float, power: float = 0.9, level: float = 0.05) -> int:
    """Returns how many records per class put the upper bound of an AUC under a limit where nothing leaks.

    Args:
        limit: The limit on the AUC, above one half.
        power: Chance that the bound is under the limit.
        level: One minus the coverage of the one-sided bound.

    Returns:
        The smallest number of members, with as many non-members: 571 for .55, 143 for .60.

    Raises:
        ValueError: The limit is not between one half and 1.
    """
    if not 0.5 < limit < 1:
        raise ValueError(f"limit: must lie between .5 and 1, not {limit}")
    wanted = (limit - 0.5) / (float(ndtri(1 - level)) + float(ndtri(power)))
    # The deviation is sqrt((2 n + 1) / (12 n^2)), or sqrt(1 / (6 n)) without the one.
    return math.ceil(1 / (6 * wanted**2) - 1e-9)


def leakage_retained(merged: Estimate, own: Estimate) -> Estimate:
    """Estimates how much of the own module's leak a merge keeps, as a ratio of probits.

    The ratio of AUC - 1/2 saturates; probits are proportional to d' for normal scores. It is not clipped:
    below 0 the merge turns the leak over, above 1 it adds to it.

    Args:
        merged: AUC of the merge.
        own: AUC of the sharer's own module, on the same records.

    Returns:
        probit(merged) / probit(own), with an interval by the delta method from both intervals, taken as
        independent (which makes it wider); undefined where the own AUC is 0, 1 or not above one half.
    """
    if merged.value is None or own.value is None:
        return Estimate(None, None, "undefined: an AUC is missing")
    if not 0.5 < own.value < 1:
        return Estimate(None, None, f"undefined: the own module's AUC is {own.value:.3f}")
    if not 0 < merged.value < 1:
        return Estimate(None, None, f"undefined: the merge's AUC is {merged.value:.3f}")
    top, bottom = float(ndtri(merged.value)), float(ndtri(own.value))
    ratio = top / bottom
    if merged.interval is None or own.interval is None:
        return Estimate(ratio, None, "no interval: an AUC has none")
    variance = 0.0
    for estimate, slope in ((merged, 1 / bottom), (own, -ratio / bottom)):
        variance += (slope * _probit_error(estimate)) ** 2
    level = merged.interval.level
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance)
    return Estimate(ratio, Interval(ratio - half, ratio + half, level, "delta method on probits"), "")


def _probit_error(estimate: Estimate) -> float:
    """Standard error of an AUC's probit, from the width of the AUC's interval."""
    interval, value = estimate.interval, estimate.value
    assert interval is not None and value is not None  # noqa: S101, PT018 - checked by the caller
    error = (interval.high - interval.low) / (2 * float(ndtri((1 + interval.level) / 2)))
    z = float(ndtri(value))
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return error / density
