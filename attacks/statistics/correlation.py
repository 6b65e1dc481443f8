"""Rank correlation, plain and with other quantities held fixed."""

from collections.abc import Sequence

import numpy as np

from attacks.arrays import FloatArray
from attacks.statistics.auc import mid_ranks

# Ranks left over after the fit are sums of a few hundred terms; below this they are its rounding.
_NOTHING_LEFT = 1e-9


def rank_correlation(x: FloatArray, y: FloatArray, given: Sequence[FloatArray] = ()) -> float | None:
    """Returns Spearman's rank correlation, or the partial one given other quantities.

    The partial correlation is Pearson's of what is left of the ranks of x and y after a linear fit on the
    ranks of the others (Kendall and Stuart, Advanced Theory of Statistics, vol. 2, section 27).

    Args:
        x: ``(n,)``.
        y: ``(n,)``.
        given: Quantities that are held fixed, each ``(n,)``.

    Returns:
        A value in [-1, 1]; None where x or y does not vary beyond the quantities held fixed, or n < 3 plus
        the number of those.

    Raises:
        ValueError: The arrays differ in length, or a value is not finite.
    """
    columns = [x, y, *given]
    if len({len(column) for column in columns}) != 1:
        raise ValueError("the quantities differ in length")
    if not all(np.isfinite(column).all() for column in columns):
        raise ValueError("a value is not finite")
    if len(x) < 3 + len(given):
        return None
    ranks = [mid_ranks(column) for column in columns]
    design = np.column_stack([np.ones(len(x)), *ranks[2:]])
    left = []
    for rank in ranks[:2]:
        rest = rank - design @ np.linalg.lstsq(design, rank, rcond=None)[0]
        norm = float(np.linalg.norm(rest))
        if norm <= _NOTHING_LEFT * len(x):
            return None
        left.append(rest / norm)
    return float(np.clip(left[0] @ left[1], -1.0, 1.0))


def standardised_gap(members: FloatArray, nonmembers: FloatArray) -> float | None:
    """Returns d', the difference of the means in units of the pooled standard deviation.

    Args:
        members: ``(m,)`` scores.
        nonmembers: ``(n,)`` scores.

    Returns:
        The difference (positive = members score higher); None with fewer than two on a side or no spread.
    """
    if len(members) < 2 or len(nonmembers) < 2:
        return None
    degrees = len(members) + len(nonmembers) - 2
    squares = ((members - members.mean()) ** 2).sum() + ((nonmembers - nonmembers.mean()) ** 2).sum()
    spread = float(np.sqrt(squares / degrees))
    return float(members.mean() - nonmembers.mean()) / spread if spread > 0 else None
