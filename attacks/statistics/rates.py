"""ROC curve and true positive rates at a false positive rate, without interpolation or convex hull."""

import math

import numpy as np

from attacks.arrays import FloatArray
from attacks.statistics.auc import delong_placements


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
