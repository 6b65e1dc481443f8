"""Extraction of training text: verbatim, approximate, and probabilistic under a stated sampler."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from attacks.arrays import BoolArray, FloatArray, IntArray

# Below this log-probability log(1 - p) is -p to the last digit, and p itself may underflow.
_SMALL = -40.0
# Keeps a ratio that is a whole number but for its rounding from being rounded up to the next one.
_ROUNDING = 1e-12


def prefix_and_suffix(tokens: IntArray, prefix: int, suffix: int) -> tuple[IntArray, IntArray]:
    """Cuts a record into what the model is given and what it must bring out.

    Args:
        tokens: ``(T,)`` ids of the record as it was trained on; never of text that was decoded and tokenized
            anew, which may be cut otherwise.
        prefix: Number of tokens given, from the first one on.
        suffix: Number of tokens that follow them.

    Returns:
        ``(prefix,)`` and ``(suffix,)`` ids.

    Raises:
        ValueError: A number is not positive, or the record is too short.
    """
    if prefix < 1 or suffix < 1:
        raise ValueError(f"prefix and suffix: at least 1 token each, not {prefix} and {suffix}")
    if len(tokens) < prefix + suffix:
        raise ValueError(f"tokens: {prefix} + {suffix} are needed, the record has {len(tokens)}")
    return tokens[:prefix], tokens[prefix : prefix + suffix]


def verbatim(suffixes: Sequence[IntArray], outputs: Sequence[IntArray]) -> BoolArray:
    """Says which suffixes come out word for word (Carlini et al., arXiv 2012.07805, 2202.07646).

    Ids are compared, not text. The results of the audited model and of the base on the same records go to
    `attacks.statistics.matched_rates`: a suffix that the base completes as well is no leak.

    Args:
        suffixes: Ids of the true suffixes, one or more tokens each.
        outputs: Ids that greedy decoding gives after the prefixes. What follows the suffix's length does not
            count; a shorter output does not match.

    Returns:
        ``(N,)`` True where the output begins with the whole suffix.

    Raises:
        ValueError: The numbers of suffixes and outputs differ, or a suffix is empty.
    """
    if len(suffixes) != len(outputs):
        raise ValueError(f"outputs: {len(outputs)} for {len(suffixes)} suffixes")
    if any(len(suffix) == 0 for suffix in suffixes):
        raise ValueError("suffixes: one is empty, which every output would match")
    found = [
        np.array_equal(suffix, output[: len(suffix)])
        for suffix, output in zip(suffixes, outputs, strict=True)
    ]
    return np.array(found, dtype=np.bool_)


def edit_distance(first: IntArray, second: IntArray) -> int:
    """Returns Levenshtein's distance: fewest tokens inserted, deleted or replaced to make one the other."""
    places = np.arange(len(second) + 1)
    row = places
    for done, token in enumerate(first, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (second != token))
        # An insertion costs one per place to the left: a running minimum once the places are taken off.
        row = np.minimum.accumulate(np.concatenate([[done], changed]) - places) + places
    return int(row[-1])


def normalised_distance(first: IntArray, second: IntArray) -> float:
    """Returns Levenshtein's distance over the longer length: 0 for equal, 1 for nothing in place.

    Args:
        first: ``(m,)`` ids.
        second: ``(n,)`` ids.

    Returns:
        A value in [0, 1]; 0 if both are empty.
    """
    longest = max(len(first), len(second))
    return edit_distance(first, second) / longest if longest else 0.0


def longest_run(first: IntArray, second: IntArray) -> int:
    """Returns the length in tokens of the longest run that both hold without a gap, wherever it stands."""
    longest, runs = 0, np.zeros(len(second) + 1, dtype=np.int64)
    for token in first:
        runs[1:] = np.where(second == token, runs[:-1] + 1, 0)
        longest = max(longest, int(runs.max()))
    return longest


def sampler_logprobs(
    logits: FloatArray, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> FloatArray:
    """Returns the log-probabilities with which a sampler draws the next token.

    Temperature first, then top-k, then top-p over what is left, renormalised; a token outside is never drawn.

    Args:
        logits: ``(..., V)`` logits or log-probabilities; -inf for a token that the model itself forbids.
        temperature: 0 is greedy decoding, which takes the first of equally likely tokens.
        top_k: Number of likeliest tokens kept, with those that tie with the last of them; None keeps all.
        top_p: The likeliest tokens are kept until their mass reaches this share, in (0, 1], of equally likely
            ones the lower id first; None keeps all.

    Returns:
        ``(..., V)`` log q in nats, -inf outside; exp of it sums to 1.

    Raises:
        ValueError: A parameter is out of its range, or a row of logits has a nan, +inf or nothing finite.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature: must not be negative, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: must lie in (0, 1], not {top_p}")
    highest = logits.max(axis=-1, keepdims=True) if logits.size else np.zeros(1)
    if not np.isfinite(highest).all():
        raise ValueError("logits: a row has a nan, +inf or nothing finite")
    if temperature == 0:
        first = np.argmax(logits, axis=-1)[..., None] == np.arange(logits.shape[-1])
        return np.where(first, 0.0, -np.inf)
    # The highest logit is taken off first, so that a small temperature cannot overflow.
    scaled = (logits - highest) / temperature
    if top_k is not None and top_k < scaled.shape[-1]:
        last = np.partition(scaled, -top_k, axis=-1)[..., -top_k, None]
        scaled = np.where(scaled >= last, scaled, -np.inf)
    if top_p is not None:
        scaled = np.where(_nucleus(scaled, top_p), scaled, -np.inf)
    return np.asarray(log_softmax(scaled, axis=-1), dtype=np.float64)


def _nucleus(logits: FloatArray, top_p: float) -> BoolArray:
    """Tokens of the smallest set of likeliest ones whose mass reaches ``top_p``."""
    order = np.argsort(-logits, axis=-1, kind="stable")
    mass = np.exp(log_softmax(np.take_along_axis(logits, order, axis=-1), axis=-1))
    before = np.cumsum(mass, axis=-1) - mass
    kept = np.zeros(logits.shape, dtype=np.bool_)
    np.put_along_axis(kept, order, before < top_p - _ROUNDING, axis=-1)
    return kept


def suffix_logprob(logq: FloatArray, tokens: IntArray, suffix: int) -> float:
    """Returns the log-probability log p_z that a sampler draws a record's last tokens after those before.

    Args:
        logq: ``(T, V)`` log-probabilities of `sampler_logprobs`; row t is about the token *after* token t, as
            models give them. The last row is about no token of the record.
        tokens: ``(T,)`` ids of the record.
        suffix: Number of last tokens that must be drawn, fewer than T.

    Returns:
        The sum of log q over the suffix in nats; -inf if the sampler never draws one of its tokens.

    Raises:
        ValueError: The shapes do not fit, or the suffix leaves no token before it or is empty.
    """
    if logq.ndim != 2 or len(logq) != len(tokens):
        raise ValueError(f"logq: of shape {logq.shape} for {len(tokens)} tokens")
    if not 0 < suffix < len(tokens):
        raise ValueError(f"suffix: of {len(tokens)} tokens 1 to {len(tokens) - 1} can be it, not {suffix}")
    start = len(tokens) - suffix
    return float(logq[np.arange(start - 1, len(tokens) - 1), tokens[start:]].sum())


def extraction_probability(logprob: FloatArray, queries: float) -> FloatArray:
    """Returns the probability that at least one of n samples is the suffix (Hayes et al., arXiv 2410.19482).

    P(n) = 1 - (1 - p_z)^n = -expm1(n log1p(-p_z)), and in logs where p_z itself would underflow.

    Args:
        logprob: ``(N,)`` log p_z of `suffix_logprob`.
        queries: n, at least 1.

    Returns:
        ``(N,)`` probabilities.

    Raises:
        ValueError: A log-probability is positive or nan, or n is below 1.
    """
    if not queries >= 1:
        raise ValueError(f"queries: at least 1, not {queries}")
    with np.errstate(over="ignore"):
        return np.asarray(-np.expm1(-np.exp(math.log(queries) + _log_rate(logprob))), dtype=np.float64)


def queries_needed(logprob: FloatArray, probability: float) -> FloatArray:
    """Returns how many samples bring the suffix out at least once with this probability (arXiv 2410.19482).

    n_p = ceil(log(1 - p) / log(1 - p_z)).

    Args:
        logprob: ``(N,)`` log p_z of `suffix_logprob`.
        probability: p, in (0, 1).

    Returns:
        ``(N,)`` whole numbers from 1; infinite where the sampler never draws the suffix, or where the number
        exceeds 1e308.

    Raises:
        ValueError: A log-probability is positive or nan, or p is not in (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability: must lie in (0, 1), not {probability}")
    wanted = -math.log1p(-probability)
    with np.errstate(over="ignore"):
        ratio = np.exp(math.log(wanted) - _log_rate(logprob))
    return np.asarray(np.maximum(1.0, np.ceil(ratio * (1 - _ROUNDING))), dtype=np.float64)


def _log_rate(logprob: FloatArray) -> FloatArray:
    """log(-log(1 - p)) from log p; p = 0 gives -inf and p = 1 gives +inf."""
    # A sum of float32 log-probabilities of a certain text may exceed zero by its rounding.
    if not (logprob <= 1e-4).all():
        raise ValueError("logprob: a log-probability is above zero or nan")
    capped = np.minimum(logprob, 0.0)
    with np.errstate(divide="ignore"):
        exact = np.log(-np.log1p(-np.exp(np.maximum(capped, _SMALL))))
    return np.where(capped < _SMALL, capped, exact)
