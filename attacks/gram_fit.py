"""Least squares on inner products alone: what a change is made of, and how alike unrelated modules are."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from attacks.arrays import FloatArray
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import FEWEST_UNITS

RIDGE = 1e-6
# Share of the change's norm that no fit is trusted below: rounding of the stored factors, and the ridge.
FLOOR = 1e-3
# A candidate of which the others hold all but this share cannot be told from them: far above the ridge.
OWN_SHARE = 1e-4
# Of `least_cosine`.
LEAST_ALONE = 0.6
LEAST_COSINE = 0.3
LEAST_ONE_START = 0.7
_MOST_COSINE = 0.9
_ALIKE = 2.0
_ENOUGH = 8


@dataclass(frozen=True, eq=False)
class Grams:
    """Inner products of a change and of N candidates, layer by layer.

    Attributes:
        products: ``(L, N + 1, N + 1)`` Frobenius inner products; the change stands first.
        sizes: ``(L,)`` entries of each layer's matrix.
    """

    products: FloatArray
    sizes: FloatArray


@dataclass(frozen=True, eq=False)
class Fit:
    """The least-squares fit of a change by candidates.

    Attributes:
        weights: ``(N,)`` signed coefficients.
        unexplained: Share of the change's squared norm that is left, from 0 to 1.
        condition: Condition number of the candidates' cosines: 1 where all are orthogonal.
        partial: ``(N,)`` cosine of the change with each candidate once the others are taken out of both.
        spread: ``(N,)`` standard deviation of Fisher's transformation of that cosine for an unrelated
            candidate.
        alike: The largest absolute cosine of two candidates; 0 with one.
    """

    weights: FloatArray
    unexplained: float
    condition: float
    partial: FloatArray
    spread: FloatArray
    alike: float

    @property
    def scores(self) -> FloatArray:
        """``(N,)`` evidence of presence, in standard deviations of unrelated candidates.

        Partial cosines go through Fisher's transformation, so that one near 1 counts however alike the
        candidates are.
        """
        return np.arctanh(np.abs(self.partial)) / self.spread


def fit(grams: Grams) -> Fit:
    """Fits a change by candidates over all layers together: normal equations with a ridge of 1e-6.

    The candidates are scaled to one norm first, so that the ridge is relative. A partial cosine is the usual
    partial correlation without means: ``(w_i / √K_ii) / √(RSS + w_i² / K_ii + floor²)`` with K the inverse of
    the candidates' cosines and w in their units. Its spread for a candidate that has nothing to do with the
    change is the larger of two: that of a randomly oriented module (variance 1/n in a layer of n entries),
    and that seen between the candidates themselves (the root mean square of their partial cosines with one
    another), since modules of one base, and of people alike, resemble each other. A candidate that is nearly
    a sum of others gets 0: the ridge alone would decide between them.

    Args:
        grams: Inner products; neither the change nor a candidate is zero in all layers.

    Returns:
        The fit.
    """
    total = grams.products.sum(axis=0)
    norms = np.sqrt(np.diag(total))
    cosines = total / np.outer(norms, norms)
    own, with_change = cosines[1:, 1:], cosines[1:, 0]
    inverse = np.linalg.inv(own + RIDGE * np.eye(len(own)))
    coefficients = _refined(inverse, own, with_change)
    left = 1 - 2 * coefficients @ with_change + coefficients @ own @ coefficients
    unexplained = float(np.clip(left, 0, 1))
    # The inverse of a diagonal entry is the share of a candidate's squared norm that the others do not hold.
    own_share = 1 / np.diag(inverse)
    alone = np.where(own_share > OWN_SHARE, coefficients * np.sqrt(own_share), 0.0)
    weights = coefficients * norms[0] / norms[1:]
    return Fit(
        weights=weights,
        unexplained=unexplained,
        condition=float(np.linalg.cond(own)),
        partial=alone / np.sqrt(unexplained + alone**2 + FLOOR**2),
        spread=np.maximum(_random_spread(grams, weights), _pool_spread(inverse)),
        alike=float(np.abs(own - np.diag(np.diag(own))).max()),
    )


def _refined(inverse: FloatArray, own: FloatArray, with_change: FloatArray) -> FloatArray:
    """Solves, and once more for what the ridge has left: its bias is gone where candidates differ."""
    first = inverse @ with_change
    return np.asarray(first + inverse @ (with_change - own @ first))


def _random_spread(grams: Grams, weights: FloatArray) -> FloatArray:
    """The standard deviation of the cosine with a randomly oriented candidate of the same norms per layer."""
    signed = np.r_[1.0, -weights]
    squares = np.diagonal(grams.products, axis1=1, axis2=2)
    left = np.clip(np.einsum("i,lij,j->l", signed, grams.products, signed), 0, None)
    left = left + FLOOR**2 * squares[:, 0]
    share = squares[:, 1:] / squares[:, 1:].sum(axis=0)
    return np.asarray(np.sqrt((left / left.sum() / grams.sizes) @ share))


def _pool_spread(inverse: FloatArray) -> float:
    """The root mean square of the partial cosines of two candidates, transformed; 0 with one candidate."""
    if len(inverse) < 2:
        return 0.0
    scale = np.sqrt(np.diag(inverse))
    pairs = (inverse / np.outer(scale, scale))[np.triu_indices(len(inverse), 1)]
    return float(np.arctanh(np.sqrt(np.mean(np.square(pairs)))))


def threshold(tests: int, ranks: int, level: float = 0.05) -> float:
    """Returns the score that any of so many unrelated candidates exceeds with probability ``level``.

    The inner product of two products of random factors is a sum of products of normal variables, at least
    one per rank and layer, and so has heavier tails than a normal one: excess kurtosis 6 / ranks at most, as
    Student's t with 4 + ranks degrees of freedom.

    Args:
        tests: Number of scores that are looked at.
        ranks: Ranks of a candidate, added up over layers.
        level: Probability of naming anybody who has nothing to do with the change.

    Returns:
        The two-sided t quantile, corrected for the number of tests (Bonferroni).
    """
    return float(stdtrit(4 + ranks, 1 - level / (2 * tests)))


def least_cosine(alike: float, candidates: int, *, one_start: bool = False) -> float:
    """Returns the partial cosine that a stranger to a merge stays below.

    Modules that were trained on one base for one task share directions, and somebody may resemble the people
    in the merge as much as any two candidates resemble each other; a merge of several such people resembles
    them more, up to once and a half as far as was seen. A few candidates do not show how alike people are:
    below eight of them at least the cosine is asked for that at most one in twenty strangers reached, in
    pools of modules of the bundled model that were trained alike. It is higher where all started from the
    same A, as they do where everybody takes the same seed; a single candidate does not show whether it did.

    Args:
        alike: The largest absolute cosine of two candidates.
        candidates: How many there are.
        one_start: Whether the candidates' factors A show that they started from the same one.

    Returns:
        Twice that cosine, and at least 0.6 for one candidate, 0.3 for two to seven, and 0.7 for these after
        one start; at most 0.9, since candidates that are nearly copies of each other say nothing about the
        others.
    """
    few = LEAST_ONE_START if one_start else LEAST_COSINE
    least = LEAST_ALONE if candidates == 1 else few if candidates < _ENOUGH else 0.0
    return min(_MOST_COSINE, max(least, _ALIKE * alike))


def layer_fits(grams: Grams) -> list[Fit | None]:
    """Fits every layer on its own, for votes.

    Args:
        grams: Inner products.

    Returns:
        A fit per layer; None where the change or a candidate is zero there.
    """
    alive = np.diagonal(grams.products, axis1=1, axis2=2).min(axis=1) > 0
    return [
        fit(Grams(grams.products[place : place + 1], grams.sizes[place : place + 1])) if known else None
        for place, known in enumerate(alive)
    ]


def without_each_layer(grams: Grams) -> FloatArray:
    """Returns the coefficients with one layer left out in turn, ``(L, N)``.

    Args:
        grams: Inner products of at least two layers.

    Returns:
        The coefficients; 0 for a candidate that is zero in all other layers.
    """
    total, rows = grams.products.sum(axis=0), []
    for layer in grams.products:
        rest = total - layer
        norms = np.sqrt(np.clip(np.diag(rest)[1:], 0, None))
        scale = np.where(norms > 0, norms, 1.0)
        own = rest[1:, 1:] / np.outer(scale, scale)
        inverse = np.linalg.inv(own + RIDGE * np.eye(len(own)))
        rows.append(_refined(inverse, own, rest[1:, 0] / scale) / scale)
    return np.array(rows)


def jackknife(value: float, without: FloatArray, level: float = 0.95) -> Estimate:
    """Estimates a figure's interval from how it changes when one layer is left out.

    Args:
        value: The figure over all layers.
        without: ``(L,)`` the figure without each layer in turn.
        level: Coverage of the interval.

    Returns:
        The figure with a t interval over L layers (Tukey 1958); no interval under 6 layers.
    """
    count = len(without)
    if count < FEWEST_UNITS:
        return Estimate(value, None, f"interval needs {FEWEST_UNITS} layers, has {count}")
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    return Estimate(value, Interval(value - half, value + half, level, f"jackknife over {count} layers"), "")
