"""CAMIA: signals of how a record's loss runs, each a p-value against known non-members (arXiv 2409.13745).

The published cut-offs are for texts of a thousand tokens. Here they are shares of a record's tokens, of its
first thousand at most, so that they are the published ones for long texts and mean something for short ones.
What the paper takes over the whole text is taken over the whole record.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from attacks.arrays import FloatArray, IntArray
from attacks.base import Attack
from attacks.evidence import Evidence, TokenScores
from attacks.reference import LOSS_FLOOR

Combination = Literal["fisher", "mean", "pearson", "george"]

LONGEST: Final = 1000
MEANS: Final = (0.2, 0.3)
HEAD: Final = 0.2
LEVELS: Final = (-1.0, -2.0, -3.0)
BINS: Final = (3, 4, 5)
TRENDS: Final = (0.6, 0.8, 1.0)
RADIUS: Final = 0.8
DIMENSION: Final = 2


def lempel_ziv(symbols: IntArray) -> float:
    """Returns the number of phrases of the Lempel-Ziv 1978 parse over the length; "100111" gives 4 / 6."""
    phrases: set[tuple[int, ...]] = set()
    phrase: tuple[int, ...] = ()
    for symbol in symbols.tolist():
        phrase = (*phrase, symbol)
        if phrase not in phrases:
            phrases.add(phrase)
            phrase = ()
    return (len(phrases) + bool(phrase)) / len(symbols)


def approximate_entropy(values: FloatArray, dimension: int = DIMENSION, radius: float = RADIUS) -> float:
    """Returns the approximate entropy of a series (Pincus 1991).

    Args:
        values: ``(n,)``.
        dimension: Length m of the runs that are compared.
        radius: Tolerance r, in standard deviations of the series.

    Returns:
        phi(m) - phi(m + 1); 0 for a series too short to hold two runs of m + 1, or without spread.
    """
    spread = float(values.std())
    if len(values) < dimension + 2 or spread == 0:
        return 0.0
    return _phi(values, dimension, radius * spread) - _phi(values, dimension + 1, radius * spread)


def _phi(values: FloatArray, size: int, tolerance: float) -> float:
    runs = np.lib.stride_tricks.sliding_window_view(values, size)
    apart = np.abs(runs[:, None] - runs[None]).max(axis=2)
    return float(np.log((apart <= tolerance).mean(axis=1)).mean())


def slope(values: FloatArray) -> float:
    """Returns the slope of a straight line through a series, per token; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    place = np.arange(len(values)) - (len(values) - 1) / 2
    return float(place @ values / (place @ place))


def signals_of(logp: FloatArray, token: IntArray, repeated: FloatArray) -> FloatArray:
    """Returns the signals of one record, each turned so that a member is expected to have more of it.

    The turns are fixed beforehand from what memorising does (likelier, steadier, more and more certain
    tokens, less help from reading the text twice), never chosen on the records that are audited.

    Args:
        logp: ``(t,)`` log-probabilities of the record's tokens.
        token: ``(t,)`` numbers of its tokens.
        repeated: ``(t,)`` log-probabilities of its second copy, read after the first.

    Returns:
        ``(20,)`` signals.
    """
    head = logp[: _cut(len(logp), HEAD)]
    running = np.cumsum(logp)[:-1] / np.arange(1, len(logp))
    span = float(logp.max() - logp.min())
    found = [float(logp.mean())]
    found += [float(logp[: _cut(len(logp), share)].mean()) for share in MEANS]
    found += [float((head >= level).mean()) for level in LEVELS]
    found += [-lempel_ziv(_binned(logp, span, count)) for count in BINS]
    found.append(float((logp[1:] > running).mean()) if len(running) else 0.0)
    found.append(float(logp.mean()) * len(logp) / len(np.unique(token)))
    for share in TRENDS:
        part = logp[: _cut(len(logp), share)]
        found += [slope(part), -approximate_entropy(part)]
    found += [
        -float(repeated.mean() - logp.mean()),
        -float((repeated.mean() - logp.mean()) / max(-float(logp.mean()), LOSS_FLOOR)),
        -float((repeated > logp).mean()),
    ]
    return np.array(found)


def _cut(length: int, share: float) -> int:
    return max(1, math.ceil(share * min(length, LONGEST)))


def _binned(values: FloatArray, span: float, count: int) -> IntArray:
    """Cuts a series into symbols by equal steps of its own range."""
    if span == 0:
        return np.zeros(len(values), dtype=np.int64)
    steps = np.floor((values - values.min()) / span * count)
    return np.asarray(np.minimum(steps, count - 1), dtype=np.int64)


def signal_table(scores: TokenScores, repeated: TokenScores) -> FloatArray:
    """Returns the signals of N records, ``(N, 20)``."""
    rows = []
    for index in range(len(scores)):
        part = scores.record(index)
        rows.append(signals_of(scores.logp[part], scores.token[part], repeated.logp[part]))
    return np.array(rows)


def upper_p_values(values: FloatArray, population: FloatArray) -> FloatArray:
    """Returns how rarely known non-members reach each value.

    Args:
        values: ``(N, k)`` signals.
        population: ``(Z, k)`` the same signals of known non-members.

    Returns:
        ``(N, k)`` p-values (1 + non-members at or above) / (1 + Z), valid at any Z.
    """
    found = np.empty_like(values)
    for column in range(values.shape[1]):
        ordered = np.sort(population[:, column])
        below = np.searchsorted(ordered, values[:, column], side="left")
        found[:, column] = (1 + len(ordered) - below) / (1 + len(ordered))
    return found


def _fisher(p: FloatArray) -> FloatArray:
    return np.asarray(-2 * np.log(p).sum(axis=1))


def _mean(p: FloatArray) -> FloatArray:
    return np.asarray(-p.mean(axis=1))


def _pearson(p: FloatArray) -> FloatArray:
    return np.asarray(2 * np.log1p(-_inside(p)).sum(axis=1))


def _george(p: FloatArray) -> FloatArray:
    inside = _inside(p)
    return np.asarray(-np.log(inside / (1 - inside)).sum(axis=1))


def _inside(p: FloatArray) -> FloatArray:
    """A p-value of one, of a value below every non-member's, would weigh without end."""
    return np.asarray(np.minimum(p, 1 - 1e-6))


COMBINATIONS: Mapping[Combination, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"fisher": _fisher, "mean": _mean, "pearson": _pearson, "george": _george}
)


def camia(combination: Combination = "fisher") -> Attack:
    """Combines the signals' p-values.

    Args:
        combination: How; named beforehand. The signals are dependent, so the sum ranks records and is no
            p-value itself.

    Returns:
        The attack.
    """
    combine = COMBINATIONS[combination]

    def signal(evidence: Evidence) -> FloatArray:
        known = evidence.population
        if evidence.repeated is None or known is None or known.repeated is None:
            raise ValueError("attack camia: needs the records, and known non-members, read twice in a row")
        table = signal_table(evidence.target, evidence.repeated)
        return combine(upper_p_values(table, signal_table(known.target, known.repeated)))

    needs = ("logp", "token", "repeated", "population")
    return Attack(f"camia-{combination}", "A2", needs, "arXiv:2409.13745", 1, signal)


CAMIA = Attack(
    "camia", "A2", ("logp", "token", "repeated", "population"), "arXiv:2409.13745", 1, camia().signal
)
