"""Attacks that compare target and reference token by token: in windows, and where the model errs."""

from collections.abc import Sequence

import numpy as np

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence, sum_per_record
from attacks.reference import base_scores

SIZES = (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)
CONSTANT = 1e-6


def window_wins(gains: FloatArray, sizes: Sequence[int], *, half_ties: bool = False) -> FloatArray:
    """Returns the share of windows in which a record gains, per window size.

    Args:
        gains: ``(T,)`` log-probability under the target minus that under the reference, of one record.
        sizes: Window lengths in tokens; one that is longer than the record is cut to it.
        half_ties: Count a window that gains exactly nothing as one half instead of none.

    Returns:
        ``(sizes,)`` shares.
    """
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    wins = []
    for size in sizes:
        width = min(size, len(gains))
        windows = sums[width:] - sums[:-width]
        # Sums of rounded numbers: what cancels to within rounding is a tie.
        tied = np.abs(windows) <= 1e-12 * np.maximum(1.0, np.abs(gains).sum())
        wins.append(((windows > 0) & ~tied).mean() + (0.5 * tied.mean() if half_ties else 0.0))
    return np.array(wins)


def wbc(sizes: Sequence[int] = SIZES, *, half_ties: bool = False) -> Attack:
    """Share of windows that the target finds likelier than the base, over window sizes (arXiv 2601.02751).

    Args:
        sizes: Window lengths in tokens.
        half_ties: Whether ties count one half; by default the comparison is strict.

    Returns:
        The attack.
    """

    def signal(evidence: Evidence) -> FloatArray:
        scores = evidence.target
        gains = scores.logp - base_scores(evidence).logp
        return np.array(
            [
                window_wins(gains[scores.record(i)], sizes, half_ties=half_ties).mean()
                for i in range(len(scores))
            ]
        )

    params = {"largest window": float(max(sizes)), "window sizes": float(len(sizes))}
    return Attack("wbc", "A2", ("logp", "reference"), "arXiv:2601.02751", 1, signal, params)


def ez(constant: float = CONSTANT) -> Attack:
    """Gains over losses at the tokens that the target gets wrong (arXiv 2601.12104).

    The score is log((P + c) / (N + c)): P sums what the target gives these tokens more than the base, N what
    it gives them less. With no loss the score is high, and with no error token it is 0, between both.

    Args:
        constant: c, which keeps the ratio finite.

    Returns:
        The attack.

    Raises:
        ValueError: The constant is not positive.
    """
    if not constant > 0:
        raise ValueError(f"constant: must be positive, not {constant}")

    def signal(evidence: Evidence) -> FloatArray:
        scores = evidence.target
        change = np.where(scores.is_argmax, 0.0, scores.logp - base_scores(evidence).logp)
        gained = sum_per_record(np.maximum(change, 0), scores.offsets)
        lost = sum_per_record(np.maximum(-change, 0), scores.offsets)
        return np.log((gained + constant) / (lost + constant))

    needs = ("logp", "is_argmax", "reference")
    return Attack("ez", "A1", needs, "arXiv:2601.12104", 1, signal, {"constant": constant})


WBC = wbc()
EZ = ez()
