"""Area under the ROC curve by mid-ranks, with DeLong's placement values."""

import numpy as np

from attacks.arrays import FloatArray


def mid_ranks(scores: FloatArray) -> FloatArray:
    """Returns ranks from 1 along the last axis; tied scores share the mean of their ranks.

    `scipy.stats.rankdata` gives the same, but importing scipy.stats costs more than a whole `check` may.
    """
    order = np.argsort(scores, axis=-1)
    rising = np.take_along_axis(scores, order, axis=-1)
    place = np.broadcast_to(np.arange(1.0, scores.shape[-1] + 1), scores.shape)
    edge = np.ones((*scores.shape[:-1], 1), dtype=bool)
    differs = rising[..., 1:] != rising[..., :-1]
    # The first and the last place of the tie that each score belongs to.
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), place, 0.0), axis=-1)
    ends = np.where(np.concatenate([differs, edge], axis=-1), place, np.inf)
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=-1)
    return ranks


def same_ranks(first: FloatArray, second: FloatArray) -> float:
    """Returns the share of records that have the same mid-rank under two signals.

    Args:
        first: ``(n,)`` scores, n > 0.
        second: ``(n,)`` scores of the same records.

    Returns:
        A share in [0, 1]; 1 means that the signals order the records alike, ties included.

    Raises:
        ValueError: The arrays are empty, not finite or of different lengths.
    """
    _check(first, "first")
    _check(second, "second")
    if first.shape != second.shape:
        raise ValueError(f"the signals score {first.shape[-1]} and {second.shape[-1]} records")
    return float(np.mean(mid_ranks(first) == mid_ranks(second)))


def delong_placements(members: FloatArray, nonmembers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns placement values (DeLong, DeLong and Clarke-Pearson 1988; by ranks, Sun and Xu 2014).

    Args:
        members: ``(..., m)`` scores of members.
        nonmembers: ``(..., n)`` scores of non-members; leading axes are separate samples.

    Returns:
        ``(..., m)`` share of non-members below each member and ``(..., n)`` share of members above each
        non-member; a tie counts one half. Both average to the AUC.

    Raises:
        ValueError: A side is empty or not finite.
    """
    _check(members, "members")
    _check(nonmembers, "nonmembers")
    m, n = members.shape[-1], nonmembers.shape[-1]
    ranks = mid_ranks(np.concatenate([members, nonmembers], axis=-1))
    above = (ranks[..., :m] - mid_ranks(members)) / n
    below = 1 - (ranks[..., m:] - mid_ranks(nonmembers)) / m
    return above, below


def auc(members: FloatArray, nonmembers: FloatArray) -> float:
    """Returns the probability that a member outranks a non-member; a tie counts one half (Mann-Whitney).

    Args:
        members: ``(m,)`` scores of members.
        nonmembers: ``(n,)`` scores of non-members.

    Returns:
        The area under the ROC curve, in [0, 1].

    Raises:
        ValueError: A side is empty or not finite.
    """
    return float(delong_placements(members, nonmembers)[0].mean())


def delong_variance(above: FloatArray, below: FloatArray) -> float:
    """Returns the variance of an AUC from its placement values.

    Args:
        above: ``(m,)`` placements of members, m > 1.
        below: ``(n,)`` placements of non-members, n > 1.

    Returns:
        DeLong's estimate: the sum of both sample variances, each over its number of records.
    """
    return float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))


def _check(scores: FloatArray, name: str) -> None:
    if scores.size == 0:
        raise ValueError(f"{name}: there are no scores")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: a score is not finite")
