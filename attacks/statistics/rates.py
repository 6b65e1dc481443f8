"""ROC curve and true positive rates at a false positive rate, without interpolation or convex hull."""

import math

import numpy as np
import scipy

from attacks.arrays import FloatArray
from attacks.statistics.auc import delong_placements
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.power import clopper_pearson


def roc(members: FloatArray, nonmembers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the ROC curve: one point per distinct score, from (0, 0) to (1, 1).

    Args:
        members: ``(m,)`` scores of members.
        nonmembers: ``(n,)`` scores of non-members.

    Returns:
        False positive rates and true positive rates, both rising. Records with tied scores are accepted
        together.

    Raises:
        ValueError: A side is empty or not finite.
    """
    delong_placements(members, nonmembers)
    thresholds = np.unique(np.concatenate([members, nonmembers]))[::-1]
    return _share_above(nonmembers, thresholds), _share_above(members, thresholds)


def _share_above(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Share of scores at or above each falling threshold, with 0 in front."""
    counts = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
    return np.concatenate([[0.0], counts / len(scores)])


def tpr_at_fpr(members: FloatArray, nonmembers: FloatArray, rate: float) -> float:
    """Returns the largest attainable true positive rate at a false positive rate of at most ``rate``.

    Below `nonmembers_needed` the figure says little about that rate: check before stating it.

    Args:
        members: ``(m,)`` scores of members.
        nonmembers: ``(n,)`` scores of non-members.
        rate: Largest false positive rate, in [0, 1].

    Returns:
        The true positive rate of the best threshold that keeps to the rate.

    Raises:
        ValueError: A side is empty or not finite, or the rate is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: must lie in [0, 1], not {rate}")
    fpr, tpr = roc(members, nonmembers)
    return float(tpr[np.flatnonzero(fpr <= rate)[-1]])


def tpr_interval(members: FloatArray, nonmembers: FloatArray, rate: float, level: float = 0.95) -> Estimate:
    """Estimates the true positive rate at a false positive rate, with Clopper and Pearson's exact interval.

    The non-members alone decide the threshold, so given the threshold the accepted members are a binomial
    count. How the threshold itself would move with other non-members is not in the interval.

    Args:
        members: ``(m,)`` scores of members, one per independent record.
        nonmembers: ``(n,)`` scores of non-members.
        rate: Largest false positive rate, in (0, 1].
        level: Coverage of the interval.

    Returns:
        `tpr_at_fpr` with its interval; undefined with fewer than `nonmembers_needed`.

    Raises:
        ValueError: A side is empty or not finite, or the rate is not in (0, 1].
    """
    needed = nonmembers_needed(rate)
    value = tpr_at_fpr(members, nonmembers, rate)
    if len(nonmembers) < needed:
        return Estimate(None, None, f"undefined: needs {needed} non-members, has {len(nonmembers)}")
    exact = clopper_pearson(round(value * len(members)), len(members), level)
    how = f"{exact.how}, given the threshold"
    return Estimate(value, Interval(exact.low, exact.high, level, how), "")


def hull_auc(members: FloatArray, nonmembers: FloatArray) -> float:
    """Returns the area under the *convex hull* of the ROC curve, which is no AUC.

    The hull picks, with the labels, the best mixture of thresholds: where nothing is to be found it averages
    .616 at 20 + 20 records and .526 at 500 + 500, and it cannot fall below one half. It is for comparison
    with toolkits that call it the AUC; `attacks.statistics.auc` is what this project states.

    Args:
        members: ``(m,)`` scores of members.
        nonmembers: ``(n,)`` scores of non-members.

    Returns:
        An area in [0.5, 1].

    Raises:
        ValueError: A side is empty or not finite.
    """
    curve = np.column_stack(roc(members, nonmembers))
    # With the corner below the curve as a further point, the hull is all that lies under the curve's own.
    return float(scipy.spatial.ConvexHull(np.vstack([curve, [1.0, 0.0]])).volume)


def nonmembers_needed(rate: float) -> int:
    """Returns how many non-members a false positive rate needs: 300 for 1 %.

    The rule of three: with fewer, even a threshold that accepts none of them is compatible, at 95 %, with a
    higher rate.

    Raises:
        ValueError: The rate is not in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate: must lie in (0, 1], not {rate}")
    return math.ceil(3 / rate - 1e-9)
