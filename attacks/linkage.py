"""Linkage, white box: whose modules are in a merged adapter, and with which weights?

Whoever holds the adapter file (A1) and a pool of modules that people have shared compares the two. It proves
that a module *file* was used; matching the factors A mostly finds the file's random initialisation. It says
nothing about what the merge has kept of anybody's data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.changes import Change, Factors, check_changes, factor_products, inner_products
from attacks.gram_fit import (
    Fit,
    Grams,
    fit,
    jackknife,
    layer_fits,
    least_cosine,
    threshold,
    without_each_layer,
)
from attacks.rotation import unrotated
from attacks.statistics.estimate import Estimate

Space = Literal["exact", "factor", "rotated"]

LEVEL: Final = 0.05
# The cosine of two factors A of all layers: near 0 where they were drawn apart, near 1 after one start.
_SAME_A: Final = 0.5
# A fit of the factors is taken where it explains this much more of the squared change than that of ΔW; the
# fits of an unrelated pool differ by less. Turning the factors adapts more, so it must explain far more.
_GAINS: Final[tuple[tuple["Space", float], ...]] = (("factor", 0.01), ("rotated", 0.2))


@dataclass(frozen=True)
class Linked:
    """What was found about one sharer.

    Attributes:
        weight: The signed coefficient of ``sᵢ Bᵢ Aᵢ`` in ΔW, with an interval over layers.
        score: Evidence of presence, in standard deviations of a random module, or of what candidates have in
            common; never negative.
        cosine: The absolute partial cosine that the score is about: how much of what the other candidates
            leave of the merge points along what they leave of this one.
        named: Whether the rule says that the sharer's module is in the merge.
        votes: Layers whose own fit says so.
        factors: Outside of exact space the coefficients of ``Aᵢ`` in A and of ``sᵢ Bᵢ`` in ``s B``, else
            None. After a rotation one sign for all sharers is free.
    """

    weight: Estimate
    score: float
    cosine: float
    named: bool
    votes: int
    factors: tuple[float, float] | None = None


@dataclass(frozen=True)
class Linkage:
    """What was found about a merged adapter.

    Attributes:
        space: Which fit explains it best: of ΔW (``exact``), of A and B separately (``factor``), or of A and
            B turned back (``rotated``).
        sharers: By candidate, in the order of the pool.
        unexplained: Share of ``‖ΔW‖²`` that the pool does not explain: near 0 for a complete pool and a merge
            without loss, 1 for an unrelated pool.
        condition: Condition number of the candidates' cosines (the worse of A and B in ``factor`` space);
            large where some cannot be told apart.
        threshold: Score above which a sharer is named,
        least: and partial cosine that must be exceeded as well.
        layers: Number of layers that vote.
    """

    space: Space
    sharers: Mapping[str, Linked] = field(repr=False)
    unexplained: float
    condition: float
    threshold: float
    least: float
    layers: int


def link(merged: Change, pool: Mapping[str, Change], space: Space | None = None) -> Linkage:
    """Says which sharers' modules are in a merged adapter, and with which weights.

    Least squares on inner products, so that no ΔW is formed: of ΔW on all ``sᵢ Bᵢ Aᵢ`` (``exact``), or of A
    and B separately (``factor``, for merges ``(Σ wᵢ Bᵢ)(Σ wᵢ Aᵢ)`` as PriME publishes them). There least
    squares on the product gives about w² and loses the sign; the two factors give w itself. Where an export
    has rotated the factors, they are turned back first (``rotated``, see `attacks.rotation.unrotated`). All
    are tried, and a fit of factors is taken where it leaves clearly less of ``‖ΔW‖²``.

    A sharer is named if the score exceeds a two-sided quantile at 5 % divided by the number of scores that
    are looked at (`attacks.gram_fit.threshold`), and the partial cosine what modules of one base and task
    have in common (`attacks.gram_fit.least_cosine`): with a pool of strangers anybody is named in at most
    5 % of cases, also where all were trained for one task. One sharer among many who are missing in the pool
    is too small a part to be named.

    What can be recovered: of exact and factor merges the weights. Of merges cut to a lower rank by SVD the
    weights, too small by what was cut. Of TIES and DARE merges presence, not weights: entries were dropped
    or averaged by sign. Where a merged factor holds zeros, its fit looks at the other entries alone: a
    dropped entry says nothing about whom it was dropped from. With an incomplete pool a coefficient also
    holds what the sharer has in common with the sharers that are missing.

    Args:
        merged: The merged adapter.
        pool: Candidates by name; layers that only some change count as zero in the others.
        space: The fit; None tries all three.

    Returns:
        What was found.

    Raises:
        ValueError: The pool is empty, a change is zero or has other shapes, or a fit of factors is asked
            for and the ranks differ.
    """
    if not pool:
        raise ValueError("pool: there is no candidate")
    changes = [merged, *pool.values()]
    check_changes(changes, ["the merged adapter", *pool])
    exact = inner_products(changes)
    whole = fit(exact)
    best = _Found("exact", (exact,), (whole,), whole.unexplained)
    for name, gain in _GAINS:
        if space is not None and name != space:
            continue
        other = _by_factors(merged, list(pool.values()), name)
        if other is None and name == space:
            raise ValueError(f"space {name}: all ranks of a layer must be equal, and no scaling negative")
        if other is not None and (name == space or other.unexplained < best.unexplained - gain):
            best = other
    return _told(pool, best)


@dataclass(frozen=True, eq=False)
class _Found:
    """One way of fitting a merge: the inner products of what is fitted, and how well that works."""

    space: Space
    sides: tuple[Grams, ...]
    fits: tuple[Fit, ...]
    unexplained: float


def _by_factors(merged: Change, pool: Sequence[Change], space: Space) -> _Found | None:
    target = merged if space == "factor" else unrotated(merged, pool)
    sides = None if target is None else factor_products([target, *pool])
    if target is None or sides is None or not all(side.products[:, 0, 0].any() for side in sides):
        return None
    fits = tuple(fit(side) for side in sides)
    return _Found(space, sides, fits, _left_by_factors(target, pool, fits))


def _left_by_factors(merged: Change, pool: Sequence[Change], fits: tuple[Fit, ...]) -> float:
    """The share of ‖ΔW‖² that the product of the two fitted factors leaves."""
    joined: dict[str, Factors] = {}
    for layer in merged.factors:
        a, b = (
            np.asarray(
                sum(
                    w * (c.scaling if side else 1.0) * c.factors[layer][side].astype(np.float64)
                    for w, c in zip(found.weights, pool, strict=True)
                )
            )
            for side, found in enumerate(fits)
        )
        joined[layer] = (a, b)
    table = inner_products([merged, Change(joined)]).products.sum(axis=0)
    return float(np.clip(1 - (2 * table[0, 1] - table[1, 1]) / table[0, 0], 0, 1))


def _told(pool: Mapping[str, Change], found: _Found) -> Linkage:
    """A sharer's score is the largest of all sides; the coefficient in ΔW is the product of theirs."""
    ranks = [[len(a) for a, _ in change.factors.values()] for change in pool.values()]
    tests = len(found.sides) * len(pool)
    limit = threshold(tests, min(map(sum, ranks)), LEVEL)
    one_start = _one_start(list(pool.values()))
    least = max(least_cosine(side.alike, len(pool), one_start=one_start) for side in found.fits)
    votes, layers = _votes(found.sides, threshold(tests, min(map(min, ranks)), LEVEL), least)
    without = np.prod([without_each_layer(side) for side in found.sides], axis=0)
    scores = np.max([side.scores for side in found.fits], axis=0)
    cosines = np.max([np.abs(side.partial) for side in found.fits], axis=0)
    named = _named(found.fits, limit, least)
    sharers = {}
    for i, name in enumerate(pool):
        weights = tuple(float(side.weights[i]) for side in found.fits)
        sharers[name] = Linked(
            weight=jackknife(math.prod(weights), without[:, i]),
            score=float(scores[i]),
            cosine=float(cosines[i]),
            named=bool(named[i]),
            votes=int(votes[i]),
            factors=None if len(weights) == 1 else (weights[0], weights[1]),
        )
    condition = max(side.condition for side in found.fits)
    return Linkage(found.space, sharers, found.unexplained, condition, limit, least, layers)


def _one_start(pool: Sequence[Change]) -> bool:
    """Whether two candidates' factors A point the same way, which A that were drawn apart do not."""
    sides = factor_products(pool) if len(pool) > 1 else None
    if sides is None:
        return False
    squares = sides[0].products.sum(axis=0)
    norms = np.sqrt(np.diag(squares))
    cosines = squares / np.outer(norms, norms)
    return bool(np.abs(cosines - np.diag(np.diag(cosines))).max() > _SAME_A)


def _named(sides: Sequence[Fit], limit: float, least: float) -> NDArray[np.bool_]:
    """Whom some side's fit names."""
    rows = [(side.scores > limit) & (np.abs(side.partial) > least) for side in sides]
    return np.asarray(np.any(rows, axis=0))


def _votes(sides: Sequence[Grams], limit: float, least: float) -> tuple[NDArray[np.int64], int]:
    """Counts per candidate the layers in which a fit of any side names it, and the layers."""
    rows = []
    for layer in zip(*(layer_fits(side) for side in sides), strict=True):
        if fits := [found for found in layer if found is not None]:
            rows.append(_named(fits, limit, least))
    count = sides[0].products.shape[1] - 1
    return np.array(rows, dtype=np.int64).reshape(-1, count).sum(axis=0), len(rows)
