"""How far a figure lies from the baseline's, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from attacks.statistics import Estimate, UserScores, paired_auc_difference, paired_difference, user_auc
from prime_audit.results import CI

LEVEL = 0.05
POWER = 0.9
_NORMAL = float(ndtri(0.975))


@dataclass(frozen=True)
class Difference:
    """A run's figure less the baseline's.

    Attributes:
        value: The run's figure.
        baseline: Mean of the baseline's runs.
        delta: Their difference.
        below: Standard error towards smaller values.
        above: Standard error towards larger values.
        degrees: Degrees of freedom of the standard errors; infinite where they are as good as known.
        runs: Number of the baseline's training seeds.
        how: How the two were compared.
    """

    value: float
    baseline: float
    delta: float
    below: float
    above: float
    degrees: float
    runs: int
    how: str

    @property
    def same(self) -> bool:
        """Whether nothing differs, so that nothing shows how large a change would have been seen."""
        return self.delta == 0 and self.below == 0 == self.above

    def p(self, tolerance: float, *, increase: bool) -> float:
        """Returns the one-sided p-value of "the change is at most the tolerance".

        Args:
            tolerance: The change that is allowed, at least 0.
            increase: Whether an increase is asked about, or a decrease.

        Returns:
            The p-value; 1 for a difference of exactly nothing.
        """
        beyond = (self.delta if increase else -self.delta) - tolerance
        error = self.below if increase else self.above
        if error == 0:
            return 0.0 if beyond > 0 else 1.0
        return (
            float(stdtr(self.degrees, -beyond / error))
            if math.isfinite(self.degrees)
            else _upper(beyond / error)
        )

    def detectable(self, tolerance: float, *, increase: bool) -> float:
        """Returns the change that a test at the full level would see nine times in ten.

        Args:
            tolerance: The change that is allowed.
            increase: Whether an increase is asked about, or a decrease.

        Returns:
            The change, at least the tolerance.
        """
        error = self.below if increase else self.above
        quantiles = [
            float(stdtrit(self.degrees, share)) if math.isfinite(self.degrees) else float(ndtri(share))
            for share in (1 - LEVEL, POWER)
        ]
        return tolerance + sum(quantiles) * error


def auc_difference(
    run: Sequence[UserScores], baseline: Sequence[Sequence[UserScores]], *, folded: bool = True
) -> Difference | None:
    """Compares two within-user AUCs on the same records.

    The variance is DeLong's on the paired placements, with all runs of the baseline averaged record by
    record, plus the variance between the baseline's training seeds, s^2 (1 + 1/K) for K of them: scoring the
    same records again says nothing about training again.

    Args:
        run: The run's scores per user.
        baseline: Scores of the same records, per run of the baseline.
        folded: Whether an AUC below one half counts as its distance above it: members that are ranked last
            are told apart as well as if they were first.

    Returns:
        The difference; None if no interval can be given.

    Raises:
        ValueError: Users, records or their membership differ.
    """
    one, others = (_leak(run), [_leak(scores) for scores in baseline]) if folded else (run, baseline)
    found = paired_auc_difference(one, _stacked(others))
    if found.value is None:
        return None
    seeds = [_auc(scores) for scores in others]
    if found.interval is None:
        # Ranks that agree everywhere leave nothing to doubt; too few records do.
        sides = (0.0, 0.0) if "same for every record" in found.reason else None
    else:
        sides = ((found.value - found.interval.low) / _NORMAL, (found.interval.high - found.value) / _NORMAL)
    if sides is None:
        return None
    return _with_seeds(_auc(one), seeds, sides, "paired test on the same records")


def unit_difference(
    run: Sequence[float], baseline: Sequence[Sequence[float]], value: float, values: Sequence[float]
) -> Difference | None:
    """Compares two means over the same units, such as a utility over targets.

    Args:
        run: The run's value per unit.
        baseline: Values of the same units, per run of the baseline.
        value: The run's figure.
        values: The figure of each run of the baseline.

    Returns:
        The difference by a paired t test; None under 6 units.
    """
    means = np.mean(np.array(baseline, dtype=float), axis=0)
    found: Estimate = paired_difference(np.array(run, dtype=float), means)
    how = f"paired t test over {len(run)} targets"
    if found.interval is not None and found.value is not None:
        degrees = len(run) - 1
        error = (found.interval.high - found.value) / float(stdtrit(degrees, 0.975))
        return _with_seeds(value, values, (error, error), how, degrees)
    if np.array_equal(np.array(run), means):
        return _with_seeds(value, values, (0.0, 0.0), how)
    return None


def interval_difference(value: float, ci: CI, baseline: Sequence[tuple[float, CI]]) -> Difference:
    """Compares two figures by their intervals, as if they were independent (Zou and Donner 2008).

    Args:
        value: The run's figure.
        ci: Its interval.
        baseline: The figure and interval of each run of the baseline.

    Returns:
        The difference.
    """
    z = float(ndtri((1 + ci.level) / 2))
    low = float(np.mean([other - interval.low for other, interval in baseline]))
    high = float(np.mean([interval.high - other for other, interval in baseline]))
    sides = (math.hypot(value - ci.low, high) / z, math.hypot(ci.high - value, low) / z)
    return _with_seeds(value, [other for other, _ in baseline], sides, "by the two intervals")


def _with_seeds(
    value: float, seeds: Sequence[float], sides: tuple[float, float], how: str, degrees: float = math.inf
) -> Difference:
    """Adds the variance between training seeds; degrees of freedom after Welch and Satterthwaite."""
    count, mean = len(seeds), float(np.mean(seeds))
    between = float(np.var(seeds, ddof=1)) * (1 + 1 / count) if count > 1 else 0.0
    below, above = (math.sqrt(side**2 + between) for side in sides)
    within = min(sides) ** 2
    spread = between**2 / (count - 1) if count > 1 else 0.0
    spread += within**2 / degrees if math.isfinite(degrees) else 0.0
    total = within + between
    freedom = total**2 / spread if spread > 0 else math.inf
    how = f"{how}, {count} training seeds" if count > 1 else f"{how}, one training seed"
    return Difference(value, mean, value - mean, below, above, freedom, count, how)


def _upper(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def _auc(users: Sequence[UserScores]) -> float:
    return float(np.mean([user_auc(user) for user in users if user.comparable]))


def _leak(users: Sequence[UserScores]) -> list[UserScores]:
    """Turns all scores over where members are ranked last on the whole."""
    if _auc(users) >= 0.5:
        return list(users)
    return [UserScores(user.user, user.member, -user.scores) for user in users]


def _stacked(runs: Sequence[Sequence[UserScores]]) -> list[UserScores]:
    """All runs of the baseline as more models of the same users."""
    first = runs[0]
    for other in runs[1:]:
        if [user.user for user in other] != [user.user for user in first]:
            raise ValueError("the runs of the baseline are about different users")
    return [
        UserScores(user.user, user.member, np.vstack([runs[k][place].scores for k in range(len(runs))]))
        for place, user in enumerate(first)
    ]
