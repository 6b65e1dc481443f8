"""Attacks on surprising tokens: unlikely ones where the model is sure, and rare ones in public text."""

import numpy as np

from attacks.arrays import BoolArray, FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence, TokenScores
from attacks.likelihood import lowest_mean


def surprising(scores: TokenScores, entropy: float, share: float) -> BoolArray:
    """Marks tokens where the model is sure (low entropy) and yet gives the token little.

    Args:
        scores: Scores of N records with T tokens.
        entropy: Highest entropy of the next-token distribution, in nats.
        share: Share of a record's tokens, the least likely ones, rounded down, but at least one; of
            equally likely tokens the earlier ones come first.

    Returns:
        ``(T,)`` True for a surprising token.
    """
    lengths = scores.lengths
    record = np.repeat(np.arange(len(lengths)), lengths)
    place = np.empty(len(record), dtype=np.int64)
    place[np.lexsort((scores.logp, record))] = np.arange(len(record)) - scores.offsets[:-1][record]
    counts = np.maximum(1, np.floor(share * lengths + 1e-9)).astype(np.int64)
    marked: BoolArray = (-scores.mean_logp < entropy) & (place < counts[record])
    return marked


def without_surprise(scores: TokenScores, entropy: float = 2.0, share: float = 0.2) -> BoolArray:
    """Marks the records without a surprising token, for which `surp` takes Min-K% instead, ``(N,)``."""
    record = _records_of(scores, surprising(scores, entropy, share))
    none: BoolArray = np.bincount(record, minlength=len(scores)) == 0
    return none


def _records_of(scores: TokenScores, marked: BoolArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.repeat(np.arange(len(scores)), scores.lengths)[marked]


def surp(entropy: float = 2.0, share: float = 0.2) -> Attack:
    """Mean log-probability of the surprising tokens (Zhang and Wu, arXiv 2407.21248).

    A record without such a token gets its Min-K% score; `without_surprise` counts those.

    Args:
        entropy: Highest entropy of the next-token distribution, in nats.
        share: Share of a record's tokens, the least likely ones.

    Returns:
        The attack.

    Raises:
        ValueError: The share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: must lie in (0, 1], not {share}")

    def signal(evidence: Evidence) -> FloatArray:
        scores = evidence.target
        marked = surprising(scores, entropy, share)
        record = _records_of(scores, marked)
        counts = np.bincount(record, minlength=len(scores))
        sums = np.bincount(record, weights=scores.logp[marked], minlength=len(scores))
        backed_off = lowest_mean(scores.logp, scores.offsets, share)
        return np.where(counts > 0, sums / np.maximum(counts, 1), backed_off)

    def backs_off(evidence: Evidence) -> BoolArray:
        return without_surprise(evidence.target, entropy, share)

    params = {"entropy": entropy, "share": share}
    needs = ("logp", "mean_logp")
    return Attack("surp", "A1", needs, "arXiv:2407.21248", 1, signal, params, backs_off=backs_off)


def dc_pdd(bound: float = 0.01) -> Attack:
    """Cross-entropy of the model's and public text's token frequencies (Zhang et al., arXiv 2409.14781).

    The score is the mean over a record's first occurrences of each token of min(p ln(1 / f), bound), with f
    the token's Laplace-smoothed frequency (c + 1) / (N + V) in public text that holds no audited record.

    Args:
        bound: Largest contribution of a token.

    Returns:
        The attack.

    Raises:
        ValueError: The bound is not positive.
    """
    if not bound > 0:
        raise ValueError(f"bound: must be positive, not {bound}")

    def signal(evidence: Evidence) -> FloatArray:
        scores, counts = evidence.target, evidence.corpus
        if counts is None:
            raise ValueError("attack dc-pdd: needs the token counts of public text")
        unknown = scores.token[(scores.token < 0) | (scores.token >= len(counts))]
        if len(unknown):
            raise ValueError(f"corpus: counts {len(counts)} tokens, but there is a token {unknown.max()}")
        frequency = (counts + 1) / (counts.sum() + len(counts))
        weighed = np.exp(scores.logp) * -np.log(frequency[scores.token])
        first = _first_occurrences(scores)
        record = _records_of(scores, first)
        sums = np.bincount(record, weights=np.minimum(weighed, bound)[first], minlength=len(scores))
        return sums / np.bincount(record, minlength=len(scores))

    return Attack(
        "dc-pdd", "A2", ("logp", "token", "corpus"), "arXiv:2409.14781", 1, signal, {"bound": bound}
    )


def _first_occurrences(scores: TokenScores) -> BoolArray:
    """Marks the tokens that their record has not held before, ``(T,)``."""
    record = np.repeat(np.arange(len(scores)), scores.lengths)
    order = np.lexsort((scores.token, record))
    ordered = np.stack([record[order], scores.token[order]])
    # lexsort is stable, so the first of equal ones is the one that comes first in the text.
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    first = np.zeros(len(order), dtype=bool)
    first[order] = new
    return first


SURP = surp()
DC_PDD = dc_pdd()
