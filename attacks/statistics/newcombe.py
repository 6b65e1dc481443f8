"""Newcombe's score interval for an AUC, which stays honest where the AUC is 0 or 1."""

from collections.abc import Sequence

import scipy
from scipy.special import ndtri

# Keeps the search away from the trivial root at an estimate of 0 or 1 itself.
_STEP = 1e-9


def newcombe_variance(value: float, members: int, nonmembers: int) -> float:
    """Returns the variance of an AUC of this true value (Newcombe 2006, Stat. Med. 25:559, method 5).

    Hanley and McNeil's formula with both sample sizes replaced by their mean in the numerator.
    """
    spread = (1 - value) / (2 - value) + value / (1 + value)
    mean = (members + nonmembers) / 2
    return value * (1 - value) / (members * nonmembers) * (1 + (mean - 1) * spread)


def newcombe_limits(value: float, sizes: Sequence[tuple[int, int]], level: float) -> tuple[float, float]:
    """Returns the score interval of a mean of independent AUCs that share one true value.

    The limits are the true values whose own standard error puts the estimate at the critical distance. With
    one sample this is Newcombe's method 5.

    Args:
        value: The mean AUC.
        sizes: Members and non-members of each sample.
        level: Coverage, e.g. 0.95.

    Returns:
        Lower and upper limit.
    """
    z = float(ndtri((1 + level) / 2))

    def excess(truth: float) -> float:
        variance = sum(newcombe_variance(truth, m, n) for m, n in sizes) / len(sizes) ** 2
        return float((value - truth) ** 2 - z**2 * variance)

    low = float(scipy.optimize.brentq(excess, 0, value * (1 - _STEP))) if value > 0 else 0.0
    high = float(scipy.optimize.brentq(excess, value + (1 - value) * _STEP, 1)) if value < 1 else 1.0
    return low, high
