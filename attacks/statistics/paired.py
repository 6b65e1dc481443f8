"""Comparing two sets of scores of the same records, and pairs whose order a coin decided."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import ndtr, ndtri

from attacks.arrays import FloatArray
from attacks.statistics.auc import delong_variance, mid_ranks
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import FEWEST_RECORDS, placements
from attacks.statistics.newcombe import newcombe_limits
from attacks.statistics.users import UserScores

# Up to so many pairs every assignment of signs is counted.
EXACT_UP_TO = 12
DRAWS = 9999
_TIE = 1e-9
# A variance below this is rounding.
_NO_VARIANCE = 1e-20


@dataclass(frozen=True)
class _UserDifference:
    """One user's difference of two AUCs, how far its limits lie from it, and how they were found."""

    value: float
    below: float
    above: float
    newcombe: bool


def paired_auc_difference(
    first: Sequence[UserScores], second: Sequence[UserScores], level: float = 0.95
) -> Estimate:
    """Estimates how much better one method or attack tells the same members from the same non-members.

    The difference of the two within-user AUCs, averaged over users. Its interval adds up DeLong's variances
    of the paired placements within users (DeLong, DeLong and Clarke-Pearson 1988), so what makes a record
    easy for both cancels. It is about these modules. A user for whom that variance is not usable (one record
    on a side, or no variance though the ranks differ) enters with Newcombe's limits of both AUCs, joined by
    squares of distances to the limits (Zou and Donner 2008), as if the two were independent.

    Args:
        first: Scores per user.
        second: Scores of the same records; a user's models may be others, and other in number.
        level: Coverage of the interval.

    Returns:
        First minus second; undefined if no user can be compared. No interval under 5 members and 5
        non-members in all, or where the difference does not vary.

    Raises:
        ValueError: Users, records or their membership differ.
    """
    pairs = _matched(first, second)
    if not pairs:
        return Estimate(None, None, "undefined: no user has both a member and a non-member")
    found = [_user_difference(one, other, level) for one, other in pairs]
    value = float(np.mean([user.value for user in found]))
    members, nonmembers = (sum(getattr(one, side) for one, _ in pairs) for side in ("members", "nonmembers"))
    if min(members, nonmembers) < FEWEST_RECORDS:
        short = f"interval needs {FEWEST_RECORDS} members and {FEWEST_RECORDS} non-members"
        return Estimate(value, None, f"{short}, has {members} and {nonmembers}")
    below, above = (
        math.sqrt(sum(getattr(user, side) ** 2 for user in found)) / len(found) for side in ("below", "above")
    )
    if max(below, above) == 0:
        return Estimate(value, None, "no interval: the difference is the same for every record")
    how, replaced = "paired within-user DeLong", sum(user.newcombe for user in found)
    if replaced:
        how += f", Newcombe for {replaced} of {len(found)} users"
    return Estimate(value, Interval(max(-1.0, value - below), min(1.0, value + above), level, how), "")


def _user_difference(one: UserScores, other: UserScores, level: float) -> _UserDifference:
    placed = list(zip(placements(one), placements(other), strict=True))
    value = float(placed[0][0].mean() - placed[0][1].mean())
    m, n = one.members, one.nonmembers
    variance = delong_variance(*(a - b for a, b in placed)) if min(m, n) > 1 else 0.0
    if variance > _NO_VARIANCE or _ranked_alike(one, other):
        half = float(ndtri((1 + level) / 2)) * math.sqrt(max(variance, 0.0))
        return _UserDifference(value, half, half, newcombe=False)
    values = [float(a.mean()) for a in placed[0]]
    limits = [newcombe_limits(auc, [(m, n)], level) for auc in values]
    below = math.hypot(values[0] - limits[0][0], limits[1][1] - values[1])
    above = math.hypot(limits[0][1] - values[0], values[1] - limits[1][0])
    return _UserDifference(value, below, above, newcombe=True)


def _ranked_alike(one: UserScores, other: UserScores) -> bool:
    """Says whether both order the records alike: then nothing but their equality can be seen."""
    ranks = [mid_ranks(user.scores).mean(axis=0) for user in (one, other)]
    return bool(np.abs(ranks[0] - ranks[1]).max() <= _TIE)


def difference_p(found: Estimate) -> float | None:
    """Returns the two-sided p-value of no difference that goes with an interval by the normal approximation.

    It is below .05 where, and only where, a 95 % interval leaves out zero.

    Args:
        found: A difference, e.g. of `paired_auc_difference`.

    Returns:
        The p-value; None without an interval.
    """
    if found.value is None or found.interval is None:
        return None
    interval, value = found.interval, found.value
    # Where the two limits lie at unlike distances, the one on the side of zero counts.
    towards_zero = value - interval.low if value > 0 else interval.high - value
    error = towards_zero / float(ndtri((1 + interval.level) / 2))
    return float(2 * ndtr(-abs(value) / error)) if error > 0 else None


def _matched(
    first: Sequence[UserScores], second: Sequence[UserScores]
) -> list[tuple[UserScores, UserScores]]:
    others = {user.user: user for user in second}
    if sorted(others) != sorted(user.user for user in first) or len(others) != len(second):
        raise ValueError("the two sets of scores are about different users")
    for user in first:
        if not np.array_equal(user.member, others[user.user].member):
            raise ValueError(f"user {user.user}: the two sets of scores are about different records")
    return [(user, others[user.user]) for user in first if user.comparable]


def sign_flip(differences: FloatArray, rng: np.random.Generator, draws: int = DRAWS) -> float:
    """Tests whether paired differences lean above zero, by flipping their signs at random.

    Exact where a fair coin decided the order within each pair. With 12 pairs or fewer every assignment of
    signs is counted; otherwise p = (1 + draws at least as large) / (1 + draws). Fewer than 5 pairs cannot
    reach .05.

    Args:
        differences: ``(n,)`` differences.
        rng: Source of the signs.
        draws: Number of random assignments.

    Returns:
        One-sided p-value; 1 without differences.

    Raises:
        ValueError: A difference is not finite.
    """
    if not np.isfinite(differences).all():
        raise ValueError("differences: one is not finite")
    if not len(differences):
        return 1.0
    observed = float(differences.sum())
    reached = observed - _TIE * max(1.0, float(np.abs(differences).sum()))
    if len(differences) <= EXACT_UP_TO:
        signs = np.array(list(product((1.0, -1.0), repeat=len(differences))))
        return float((signs @ differences >= reached).mean())
    signs = rng.integers(0, 2, (draws, len(differences))) * 2.0 - 1.0
    return float((1 + (signs @ differences >= reached).sum()) / (1 + draws))


def least_two_sided_p(pairs: int, draws: int = DRAWS) -> float:
    """Returns the smallest p-value that `sign_flip_two_sided` can give to so many pairs.

    Args:
        pairs: Number of pairs.
        draws: As there.

    Returns:
        2 / 2ⁿ with 12 pairs or fewer, else 2 / (1 + draws); at most 1.
    """
    return min(1.0, 2 / 2**pairs if pairs <= EXACT_UP_TO else 2 / (1 + draws))


def sign_flip_two_sided(differences: FloatArray, rng: np.random.Generator, draws: int = DRAWS) -> float:
    """Tests whether paired differences lean away from zero, by flipping their signs at random.

    Twice the p-value of the side that they lean to, at most 1: with 12 pairs or fewer that is the exact share
    of assignments whose sum lies as far from zero on either side. Fewer than 6 pairs cannot reach .05.

    Args:
        differences: ``(n,)`` differences, for example of two methods' utility per user.
        rng: Source of the signs.
        draws: Number of random assignments where there are more than 12 pairs.

    Returns:
        Two-sided p-value; 1 without differences.

    Raises:
        ValueError: A difference is not finite.
    """
    towards = differences if differences.sum() >= 0 else -differences
    return min(1.0, 2 * sign_flip(towards, rng, draws))
