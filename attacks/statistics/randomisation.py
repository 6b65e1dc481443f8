"""One max-T randomisation test over many attacks and methods (Westfall and Young 1993, single step)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from attacks.arrays import BoolArray, FloatArray
from attacks.statistics.auc import mid_ranks
from attacks.statistics.users import UserScores

LEVEL = 0.05
POWER = 0.9
FEWEST_DRAWS = 19
# Equal statistics may differ in their last bits; they must count as equal.
_TIE = 1e-9
# Cells of a block of permuted memberships: bounds the memory for users with many records.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class TestResult:
    """What the test says about one family member (one attack on one method).

    Attributes:
        p: p-value of this member alone.
        p_adjusted: p-value that holds for all members of the test at once.
        auc: Mean within-user AUC.
        null_sd: Exact standard deviation of that AUC under permutation.
        detectable: AUC that the whole test would have seen with power 0.9; nothing would have been seen if it
            exceeds 1, and it is infinite where all scores are tied.
    """

    __test__ = False  # pytest: not a test class

    p: float
    p_adjusted: float
    auc: float
    null_sd: float
    detectable: float


@dataclass(frozen=True)
class _SharedUser:
    """One user's centred mid-ranks in every member of the test that holds the user."""

    member: BoolArray
    columns: list[int]
    ranks: list[FloatArray]


def max_t(
    families: Mapping[str, Sequence[UserScores]],
    rng: np.random.Generator,
    draws: int = 2000,
    two_sided: bool = False,
) -> dict[str, TestResult]:
    """Tests whether members outrank non-members of the same user, over all attacks and methods at once.

    Membership is permuted within each user, given the user's counts, and one permutation serves every member
    of the test, so their dependence is kept. The statistic is (AUC - 1/2) over its exact null standard
    deviation; p = (1 + draws at least as extreme) / (1 + draws), valid at any size.

    Args:
        families: Scores per attack and method. Users without a member or a non-member are left out.
        rng: Source of the permutations. Users are drawn in order of their ids.
        draws: Number of permutations, at least 19.
        two_sided: Also count members ranked *below* non-members.

    Returns:
        A result per key of ``families``.

    Raises:
        ValueError: Too few draws; a key has no user to compare, or one twice; a user's membership differs
            between keys.
    """
    if draws < FEWEST_DRAWS:
        raise ValueError(f"draws: at least {FEWEST_DRAWS} are needed to reach p = {LEVEL}, not {draws}")
    if not families:
        return {}
    names = list(families)
    shared, sizes = _share(families)
    observed, variance = np.zeros(len(names)), np.zeros(len(names))
    null = np.zeros((draws, len(names)))
    for _, user in sorted(shared.items()):
        ranks = np.stack(user.ranks, axis=1)
        inside = int(user.member.sum())
        pairs = inside * (len(user.member) - inside)
        observed[user.columns] += user.member @ ranks / pairs
        variance[user.columns] += ranks.var(axis=0, ddof=1) / (len(user.member) * pairs)
        null[:, user.columns] += _permuted_sums(user.member, ranks, rng, draws) / pairs
    excess, deviation = observed / sizes, np.sqrt(variance) / sizes
    found = _adjust(_standardised(excess, deviation), _standardised(null / sizes, deviation), two_sided)
    return {
        name: TestResult(
            p=float(found.p[i]),
            p_adjusted=float(found.p_adjusted[i]),
            auc=0.5 + float(excess[i]),
            null_sd=float(deviation[i]),
            detectable=_detectable(found.critical, float(deviation[i])),
        )
        for i, name in enumerate(names)
    }


def _share(families: Mapping[str, Sequence[UserScores]]) -> tuple[dict[str, _SharedUser], FloatArray]:
    """Gathers each user's centred mid-ranks over all families, and the number of users of each family."""
    shared: dict[str, _SharedUser] = {}
    sizes = np.zeros(len(families))
    for column, (name, users) in enumerate(families.items()):
        kept = [user for user in users if user.comparable]
        if not kept:
            raise ValueError(f"{name}: no user has both a member and a non-member")
        if len({user.user for user in kept}) < len(kept):
            raise ValueError(f"{name}: a user is there twice")
        sizes[column] = len(kept)
        for user in kept:
            entry = shared.setdefault(user.user, _SharedUser(user.member, [], []))
            if not np.array_equal(entry.member, user.member):
                raise ValueError(f"{name}: membership of user {user.user} is not that of the other families")
            entry.columns.append(column)
            # Ranks are averaged over the user's models first: the sum over members is linear in them.
            entry.ranks.append(mid_ranks(user.scores).mean(axis=0) - (len(user.member) + 1) / 2)
    return shared, sizes


def _permuted_sums(member: BoolArray, ranks: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    """Sums of ranks over permuted members, ``(draws, columns)``."""
    sums = np.empty((draws, ranks.shape[1]))
    block = max(1, _BLOCK // len(member))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        flags = rng.permuted(np.tile(member, (rows, 1)), axis=1)
        sums[start : start + rows] = flags.astype(np.float64) @ ranks
    return sums


def _standardised(excess: FloatArray, deviation: FloatArray) -> FloatArray:
    """Divides by the null standard deviation; a member whose scores are all tied never stands out."""
    scale = np.where(deviation > 0, deviation, 1.0)
    return np.where(deviation > 0, excess / scale, 0.0)


@dataclass(frozen=True)
class _Adjusted:
    p: FloatArray
    p_adjusted: FloatArray
    critical: float


def _adjust(observed: FloatArray, null: FloatArray, two_sided: bool) -> _Adjusted:
    if two_sided:
        observed, null = np.abs(observed), np.abs(null)
    draws = len(null)
    largest = np.sort(null.max(axis=1))
    reached = observed - _TIE
    alone = (null >= reached).sum(axis=0)
    together = draws - np.searchsorted(largest, reached, side="left")
    # The statistic must exceed this one for p_adjusted to reach the level.
    critical = largest[-math.floor(LEVEL * (draws + 1) + 1e-9)]
    return _Adjusted((1 + alone) / (1 + draws), (1 + together) / (1 + draws), float(critical))


def _detectable(critical: float, deviation: float) -> float:
    if deviation == 0:
        return math.inf
    return 0.5 + (critical + float(ndtri(POWER))) * deviation
