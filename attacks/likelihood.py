"""Attacks on the likelihood that the audited model itself gives to a record."""

import numpy as np

from attacks.arrays import FloatArray, IntArray
from attacks.base import Attack
from attacks.evidence import Evidence, TokenScores

# Under a (numerically) one-hot distribution sigma is 0; the z-score is then bounded by this.
SIGMA_FLOOR = 1e-8


def mean_loss(evidence: Evidence) -> FloatArray:
    """Mean log-probability per token: minus the loss (Yeom et al., arXiv 1709.01604)."""
    return evidence.target.mean()


def summed_loss(evidence: Evidence) -> FloatArray:
    """Sum of log-probabilities of a record, lower for longer ones (as the published PriME audit has it)."""
    return evidence.target.sum()


def zlib_ratio(evidence: Evidence) -> FloatArray:
    """Sum of log-probabilities over compressed bytes of the text (Carlini et al., arXiv 2012.07805)."""
    return evidence.target.sum() / evidence.target.compressed_bytes


def lowest_mean(values: FloatArray, offsets: IntArray, share: float) -> FloatArray:
    """Averages the lowest values of each record.

    Args:
        values: ``(T,)`` values per token.
        offsets: ``(N + 1,)`` as in `TokenScores`; no record is empty.
        share: Share of a record's tokens that is averaged, rounded down, but at least one token.

    Returns:
        ``(N,)`` means.
    """
    lengths = np.diff(offsets)
    record = np.repeat(np.arange(len(lengths)), lengths)
    ordered = values[np.lexsort((values, record))]
    # The small term keeps e.g. 0.29 * 100 from being rounded down to 28.
    counts = np.maximum(1, np.floor(share * lengths + 1e-9)).astype(np.int64)
    place = np.arange(len(values)) - offsets[:-1][record]
    kept = place < counts[record]
    return np.bincount(record[kept], weights=ordered[kept], minlength=len(lengths)) / counts


def z_scores(scores: TokenScores) -> FloatArray:
    """Log-probabilities in units of their own distribution: (log p - mean) / standard deviation, ``(T,)``."""
    return (scores.logp - scores.mean_logp) / np.maximum(scores.std_logp, SIGMA_FLOOR)


def floored_share(scores: TokenScores) -> float:
    """Returns the share of tokens whose standard deviation is below the floor of `z_scores`."""
    return float(np.mean(scores.std_logp < SIGMA_FLOOR)) if len(scores.std_logp) else 0.0


def min_k(share: float = 0.2) -> Attack:
    """Min-K%: mean of the lowest log-probabilities of a record (Shi et al., arXiv 2310.16789).

    Args:
        share: Share of the tokens, in (0, 1].

    Returns:
        The attack.
    """
    _check_share(share)

    def signal(evidence: Evidence) -> FloatArray:
        return lowest_mean(evidence.target.logp, evidence.target.offsets, share)

    return Attack("min-k", "A2", ("logp",), "arXiv:2310.16789", 1, signal, {"share": share})


def min_k_plus_plus(share: float = 0.2) -> Attack:
    """Min-K%++: mean of the lowest z-scores of a record (Zhang et al., arXiv 2404.02936).

    Mean and standard deviation are those of log p under p itself, not averages over the vocabulary. It needs
    the whole next-token distribution, hence the adapter itself.

    Args:
        share: Share of the tokens, in (0, 1].

    Returns:
        The attack.
    """
    _check_share(share)

    def signal(evidence: Evidence) -> FloatArray:
        return lowest_mean(z_scores(evidence.target), evidence.target.offsets, share)

    needs = ("logp", "mean_logp", "std_logp")
    return Attack("min-k++", "A1", needs, "arXiv:2404.02936", 1, signal, {"share": share})


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"share: must lie in (0, 1], not {share}")


LOSS = Attack("loss", "A2", ("logp",), "arXiv:1709.01604", 1, mean_loss)
LOSS_SUM = Attack("loss-sum", "A2", ("logp",), "arXiv:1709.01604, as a sum", 1, summed_loss)
ZLIB = Attack("zlib", "A2", ("logp", "compressed_bytes"), "arXiv:2012.07805", 1, zlib_ratio)
MIN_K = min_k()
MIN_K_PLUS_PLUS = min_k_plus_plus()
