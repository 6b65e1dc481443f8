"""Dose-response: does a user's leak rise with the dose, all else held fixed?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from attacks.arrays import FloatArray
from attacks.statistics.auc import mid_ranks
from attacks.statistics.correlation import rank_correlation
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import FEWEST_UNITS, mean_interval

DRAWS = 2000
# Equal correlations may differ in their last bits; they must count as equal.
_TIE = 1e-9
# Doses and leaks that are equal at so many decimals are one rank: a common factor on the weights moves no
# rank of a record, and yet the last bits of d'.
_DECIMALS = 9


@dataclass(frozen=True, eq=False)
class UserDoses:
    """What one user's records gave away at several doses.

    Attributes:
        user: The user's id.
        dose: ``(k,)`` Doses: e.g. the share of a merge, its norm, repetitions, or the number of sharers.
        gap: ``(k,)`` Leak at each dose, e.g. d' of `standardised_gap`.
        fixed: Other quantities at each dose that are held fixed, each ``(k,)``; e.g. the norm for the share.

    Raises:
        ValueError: The arrays differ in length or a value is not finite.
    """

    user: str
    dose: FloatArray
    gap: FloatArray
    fixed: tuple[FloatArray, ...] = ()

    def __post_init__(self) -> None:
        """Refuses arrays that do not belong together."""
        columns = (self.dose, self.gap, *self.fixed)
        if any(column.shape != (len(self.dose),) for column in columns):
            raise ValueError(f"user {self.user}: doses, leaks and what is held fixed differ in length")
        if not all(np.isfinite(column).all() for column in columns):
            raise ValueError(f"user {self.user}: a dose or a leak is not finite")

    def correlation(self) -> float | None:
        """Returns the rank correlation of dose and leak, partial where something is held fixed; or None."""
        dose, gap, *fixed = (np.round(column, _DECIMALS) for column in (self.dose, self.gap, *self.fixed))
        return rank_correlation(dose, gap, fixed)


@dataclass(frozen=True)
class DoseResponse:
    """How the leak follows the dose.

    Attributes:
        correlation: Mean over users of the rank correlation, with a t interval over users.
        p: One-sided p-value of a rising leak, or None where no test applies.
        how: The test in words, or why there is none.
    """

    correlation: Estimate
    p: float | None
    how: str


def dose_response(
    users: Sequence[UserDoses],
    rng: np.random.Generator,
    draws: int = DRAWS,
    level: float = 0.95,
) -> DoseResponse:
    """Estimates whether the leak rises with the dose, and tests it.

    Each user gives one rank correlation of dose and leak. With nothing held fixed the leaks are permuted
    over each user's doses, which is exact, with any number of users, where the noise of a leak is alike at
    all doses. A partial correlation is not exchangeable; there the test is a t test over at least 6 users.

    Args:
        users: Doses and leaks per user. Those with too few doses, or where one does not vary, are left out
            and counted.
        rng: Source of the permutations.
        draws: Number of permutations.
        level: Coverage of the interval.

    Returns:
        The mean correlation and the test of a rise.
    """
    found = [(user, user.correlation()) for user in users]
    kept = [user for user, value in found if value is not None]
    values = np.array([value for _, value in found if value is not None], dtype=np.float64)
    estimate = _bounded(mean_interval(values, level, unit="users"), len(users) - len(kept), len(users))
    if not kept:
        return DoseResponse(estimate, None, "no test: no user's dose and leak vary")
    if not any(user.fixed for user in kept):
        return DoseResponse(estimate, _permuted_p(kept, values, rng, draws), "permutation within users")
    if estimate.interval is None:
        return DoseResponse(estimate, None, f"no test: a t test needs {FEWEST_UNITS} users that differ")
    p = float(scipy.stats.ttest_1samp(values, 0.0, alternative="greater").pvalue)
    return DoseResponse(estimate, p, f"t test over {len(kept)} users")


def _bounded(found: Estimate, missing: int, total: int) -> Estimate:
    notes = [found.reason] if found.reason else []
    if missing:
        notes.append(f"{missing} of {total} users left out: too few doses, or dose or leak does not vary")
    interval = found.interval
    if interval is not None:
        interval = Interval(max(-1.0, interval.low), min(1.0, interval.high), interval.level, interval.how)
    return Estimate(found.value, interval, "; ".join(notes))


def _permuted_p(
    users: Sequence[UserDoses], observed: FloatArray, rng: np.random.Generator, draws: int
) -> float:
    """One-sided p-value of the mean correlation when each user's leaks are put to the doses at random."""
    null = np.zeros(draws)
    for user in users:
        dose, gap = (_unit_ranks(column) for column in (user.dose, user.gap))
        null += rng.permuted(np.tile(gap, (draws, 1)), axis=1) @ dose
    reached = float(observed.sum()) - _TIE * len(users)
    return float((1 + (null >= reached).sum()) / (1 + draws))


def _unit_ranks(values: FloatArray) -> FloatArray:
    """Centred mid-ranks of length 1, so that a product of two is Spearman's correlation."""
    ranks = mid_ranks(np.round(values, _DECIMALS))
    centred = ranks - ranks.mean()
    unit: FloatArray = centred / np.linalg.norm(centred)
    return unit
