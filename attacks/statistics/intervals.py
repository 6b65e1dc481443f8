"""Within-user AUC with two intervals: for these modules, and for sharers in general."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from attacks.arrays import FloatArray
from attacks.statistics.auc import delong_placements, delong_variance
from attacks.statistics.bootstrap import FEWEST_RESAMPLED, bootstrap_interval
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.newcombe import newcombe_limits
from attacks.statistics.users import UserScores

# Fewest independent units for a t interval: below, a population of sharers is not described.
FEWEST_UNITS = 6
# Fewest members, and fewest non-members, over all users for an interval about these modules.
FEWEST_RECORDS = 5
# Alone, a user with fewer records on a side gets Newcombe's interval: DeLong's covers too rarely there
# (10 + 10 records at 95 %: .88 to .93 in simulations), which the sum over several users mends.
FEWEST_ALONE = 50
# Variances and differences below these are rounding.
_NO_VARIANCE = 1e-20
_NO_DIFFERENCE = 1e-12


@dataclass(frozen=True)
class _UserAuc:
    """One user's AUC, averaged over the user's models, and its limits."""

    value: float
    low: float
    high: float
    members: int
    nonmembers: int
    newcombe: bool


def placements(user: UserScores) -> tuple[FloatArray, FloatArray]:
    """Returns a comparable user's DeLong placements, averaged over the user's models.

    Averaging first lets each record carry its scores under all models, so that their correlation is counted.

    Args:
        user: Scores with at least one member and one non-member.

    Returns:
        ``(m,)`` placements of members and ``(n,)`` of non-members.
    """
    above, below = delong_placements(user.scores[:, user.member], user.scores[:, ~user.member])
    return above.mean(axis=0), below.mean(axis=0)


def user_auc(user: UserScores) -> float:
    """Returns a comparable user's mid-rank AUC, averaged over the user's models."""
    return float(placements(user)[0].mean())


def within_user_auc(users: Sequence[UserScores], level: float = 0.95) -> Estimate:
    """Estimates how well members are told from non-members of the same user.

    The AUC is averaged over each user's models, then over users. The interval is about *these modules*: it
    adds up DeLong's variances within users, for users are fixed and records random. A user for whom that
    variance is not usable (AUC of 0 or 1, one record on a side) enters with Newcombe's limits instead, joined
    by squares of distances to the limits (Zou and Donner 2008), which for all others is the same as adding
    variances. It is one Newcombe score interval over all if every user's AUC is 0 or every one 1, and for one
    user alone with fewer than 50 records on a side.

    Args:
        users: Scores per user; those without a member or without a non-member are left out and counted.
        level: Coverage of the interval.

    Returns:
        The mean AUC; undefined if no user can be compared or all scores are tied. No interval under 5
        members and 5 non-members in all.
    """
    kept, notes = _comparable(users)
    if not kept:
        return Estimate(None, None, "undefined: no user has both a member and a non-member")
    if all(user.tied for user in kept):
        return Estimate(None, None, "; ".join(["undefined: all scores are tied", *notes]))
    found = [_user_interval(user, level) for user in kept]
    value = float(np.mean([user.value for user in found]))
    members, nonmembers = sum(u.members for u in found), sum(u.nonmembers for u in found)
    if min(members, nonmembers) < FEWEST_RECORDS:
        short = f"interval needs {FEWEST_RECORDS} members and {FEWEST_RECORDS} non-members"
        return Estimate(value, None, "; ".join([f"{short}, has {members} and {nonmembers}", *notes]))
    return Estimate(value, _combine(found, value, level), "; ".join(notes))


def _comparable(users: Sequence[UserScores]) -> tuple[list[UserScores], list[str]]:
    kept = [user for user in users if user.comparable]
    missing = len(users) - len(kept)
    note = f"{missing} of {len(users)} users left out: no member or no non-member"
    return kept, [note] if missing else []


def _user_interval(user: UserScores, level: float) -> _UserAuc:
    above, below = placements(user)
    value, m, n = float(above.mean()), user.members, user.nonmembers
    variance = delong_variance(above, below) if min(m, n) > 1 else 0.0
    if variance > _NO_VARIANCE or user.tied:
        half = float(ndtri((1 + level) / 2)) * math.sqrt(variance)
        return _UserAuc(value, value - half, value + half, m, n, newcombe=False)
    low, high = newcombe_limits(value, [(m, n)], level)
    return _UserAuc(value, low, high, m, n, newcombe=True)


def _combine(found: Sequence[_UserAuc], value: float, level: float) -> Interval:
    alone = len(found) == 1 and min(found[0].members, found[0].nonmembers) < FEWEST_ALONE
    if alone or value in (0.0, 1.0):
        low, high = newcombe_limits(value, [(u.members, u.nonmembers) for u in found], level)
        return Interval(low, high, level, "Newcombe score")
    below = math.sqrt(sum((u.value - u.low) ** 2 for u in found)) / len(found)
    above = math.sqrt(sum((u.high - u.value) ** 2 for u in found)) / len(found)
    replaced = sum(u.newcombe for u in found)
    how = "within-user DeLong"
    if replaced:
        how += f", Newcombe for {replaced} of {len(found)} users"
    return Interval(max(0.0, value - below), min(1.0, value + above), level, how)


def sharers_interval(
    users: Sequence[UserScores], level: float = 0.95, rng: np.random.Generator | None = None
) -> Estimate:
    """Estimates the within-user AUC of sharers in general, from how it differs between these.

    Args:
        users: Scores per user; those without a member or without a non-member are left out and counted.
        level: Coverage of the interval.
        rng: Source of the bootstrap's samples; a fixed seed if it is None.

    Returns:
        The mean AUC over users with a t interval from 6 users and a bootstrap over users from 20; no interval
        under 6.
    """
    kept, notes = _comparable(users)
    if not kept or all(user.tied for user in kept):
        return within_user_auc(users, level)
    values = np.array([user_auc(user) for user in kept])
    found = mean_interval(values, level, unit="sharers")
    interval = found.interval
    if interval is not None and len(values) >= FEWEST_RESAMPLED:
        interval = bootstrap_interval(values, level, rng, unit="sharers")
    if interval is not None:
        low, high = max(0.0, interval.low), min(1.0, interval.high)
        interval = Interval(low, high, interval.level, interval.how)
    return Estimate(found.value, interval, "; ".join(note for note in [found.reason, *notes] if note))


def mean_interval(values: FloatArray, level: float = 0.95, unit: str = "values") -> Estimate:
    """Estimates a mean with a t interval.

    Args:
        values: ``(n,)`` independent values.
        level: Coverage of the interval.
        unit: What the values are, for the reason.

    Returns:
        The mean; undefined without values. No interval under 6 values, or where all are equal: then nothing
        shows how far others would lie from them.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("values: one is not finite")
    count = len(values)
    if not count:
        return Estimate(None, None, f"undefined: there are no {unit}")
    mean = float(values.mean())
    if count < FEWEST_UNITS:
        return Estimate(mean, None, f"interval needs {FEWEST_UNITS} {unit}, has {count}")
    if values.max() - values.min() <= _NO_DIFFERENCE:
        return Estimate(mean, None, f"no interval: all {count} {unit} are equal")
    half = float(stdtrit(count - 1, (1 + level) / 2)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Estimate(mean, Interval(mean - half, mean + half, level, f"t over {count} {unit}"), "")


def paired_difference(first: FloatArray, second: FloatArray, level: float = 0.95) -> Estimate:
    """Estimates the mean of the differences ``first - second`` of paired values with a t interval.

    Args:
        first: ``(n,)`` values, one per independent unit (e.g. a target's mean utility).
        second: ``(n,)`` values of the same units.
        level: Coverage of the interval.

    Returns:
        The mean difference; see `mean_interval` for when there is no interval.

    Raises:
        ValueError: The arrays differ in shape or are not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"pairs: {len(first)} values cannot be paired with {len(second)}")
    return mean_interval(first - second, level, unit="pairs")


def resampled_difference(
    first: FloatArray,
    second: FloatArray,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    unit: str = "pairs",
) -> Estimate:
    """Estimates a mean paired difference, with the units resampled where there are enough of them.

    Args:
        first: ``(n,)`` values, one per independent unit (e.g. a target's mean utility).
        second: ``(n,)`` values of the same units.
        level: Coverage of the interval.
        rng: Source of the bootstrap's samples; a fixed seed if it is None.
        unit: What the values are, for the interval's construction in words.

    Returns:
        The mean difference with a t interval from 6 units and a bootstrap over them from 20; see
        `mean_interval` for when there is no interval.

    Raises:
        ValueError: The arrays differ in shape or are not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"pairs: {len(first)} values cannot be paired with {len(second)}")
    found = mean_interval(first - second, level, unit=unit)
    if found.interval is None or len(first) < FEWEST_RESAMPLED:
        return found
    return Estimate(found.value, bootstrap_interval(first - second, level, rng, unit=unit), found.reason)
