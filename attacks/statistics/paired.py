"""Comparing two sets of scores of the same records, and pairs whose order a coin decided."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.special import ndtri

from attacks.arrays import FloatArray
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import FEWEST_RECORDS, placements
from attacks.statistics.users import UserScores

# Up to so many pairs every assignment of signs is counted.
EXACT_UP_TO = 12
DRAWS = 9999
_TIE = 1e-9


def paired_auc_difference(
    first: Sequence[UserScores], second: Sequence[UserScores], level: float = 0.95
) -> Estimate:
    """Estimates how much better one method or attack tells the same members from the same non-members.

    The difference of the two within-user AUCs, averaged over users. Its interval adds up DeLong's variances
    of the paired placements within users (DeLong, DeLong and Clarke-Pearson 1988), so what makes a record
    easy for both cancels. It is about these modules.

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
    means, variance = [], 0.0
    for one, other in pairs:
        above, below = (a - b for a, b in zip(placements(one), placements(other), strict=True))
        means.append(float(above.mean()))
        if min(one.members, one.nonmembers) > 1:
            variance += above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    value = float(np.mean(means))
    members, nonmembers = (sum(getattr(one, side) for one, _ in pairs) for side in ("members", "nonmembers"))
    if min(members, nonmembers) < FEWEST_RECORDS:
        short = f"interval needs {FEWEST_RECORDS} members and {FEWEST_RECORDS} non-members"
        return Estimate(value, None, f"{short}, has {members} and {nonmembers}")
    if variance <= 0:
        return Estimate(value, None, "no interval: the difference is the same for every record")
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance) / len(pairs)
    interval = Interval(value - half, value + half, level, "paired within-user DeLong")
    return Estimate(value, interval, "")


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
