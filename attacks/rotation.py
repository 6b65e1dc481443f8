"""Factor merges behind a rotation: an SVD export of ``(Σ wᵢ Bᵢ)(Σ wᵢ Aᵢ)`` keeps the factors' spaces."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from attacks.arrays import FloatArray
from attacks.changes import Change, Factors, layers_of

# Singular values below this share of the largest are padding.
_PADDING = 1e-6
_RIDGE = 1e-9


def unrotated(merged: Change, pool: Sequence[Change]) -> Change | None:
    """Finds the factors ``Σ wᵢ √sᵢ Aᵢ`` and ``Σ wᵢ √sᵢ Bᵢ`` of a merge whose export has rotated them.

    Whatever the export, the rows of the merged A span those of ``Σ wᵢ √sᵢ Aᵢ``, and the columns of B those
    of the other sum. So w is the direction in which the sum sticks out of both spaces least: the smallest
    generalised eigenvalue of (Gram matrix of the parts outside, Gram matrix), each factor of each layer
    counting alike. One sign for all is free; the largest weight is given the positive one.

    Args:
        merged: The merged adapter; all its weights are the same in all layers.
        pool: Candidates of one rank per layer.

    Returns:
        The merge with factors that can be compared with the candidates' own, ΔW unchanged; None where ranks
        or layers differ, or a scaling is negative. Whether the pool explains it remains to be seen.
    """
    layers = layers_of([merged, *pool])
    if not _comparable(merged, pool, layers):
        return None
    count = len(pool)
    outside, total = np.zeros((count, count)), np.zeros((count, count))
    for layer in layers:
        for side in (0, 1):
            rows = np.stack([_rows(change, layer, side) for change in pool])
            basis = _basis(_rows(merged, layer, side))
            if len(basis) != rows.shape[1]:
                return None
            gram, inside = _gram(rows), _gram(rows @ basis.T)
            total += gram / max(float(np.trace(gram)), np.finfo(float).tiny)
            outside += (gram - inside) / max(float(np.trace(gram)), np.finfo(float).tiny)
    total += _RIDGE * np.trace(total) / count * np.eye(count)
    weights = scipy.linalg.eigh(outside, total, subset_by_index=[0, 0])[1][:, 0]
    weights = weights * np.sign(weights[np.abs(weights).argmax()])
    return _turned(merged, pool, layers, weights)


def _comparable(merged: Change, pool: Sequence[Change], layers: Sequence[str]) -> bool:
    if any(change.scaling < 0 or set(change.factors) != set(layers) for change in [merged, *pool]):
        return False
    return all(len({len(change.factors[layer][0]) for change in pool}) == 1 for layer in layers)


def _rows(change: Change, layer: str, side: int) -> FloatArray:
    """A, or B transposed, each with half of the scaling: ``(rank, d)``."""
    factor = change.factors[layer][side].astype(np.float64)
    rows: FloatArray = math.sqrt(change.scaling) * (factor.T if side else factor)
    return rows


def _basis(rows: FloatArray) -> FloatArray:
    """An orthonormal basis of the space of rows."""
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    basis: FloatArray = vectors[values > _PADDING * values[0]]
    return basis


def _gram(rows: FloatArray) -> FloatArray:
    flat = rows.reshape(len(rows), -1)
    return np.asarray(flat @ flat.T)


def _turned(merged: Change, pool: Sequence[Change], layers: Sequence[str], weights: FloatArray) -> Change:
    """Turns A to where the candidates' sum lies, and B back by the inverse; both get the same share of ΔW."""
    turned: dict[str, tuple[FloatArray, FloatArray]] = {}
    along = square = 0.0
    for layer in layers:
        a, b = (_rows(merged, layer, side) for side in (0, 1))
        sums = [sum(w * _rows(c, layer, side) for w, c in zip(weights, pool, strict=True)) for side in (0, 1)]
        turn = a @ np.linalg.pinv(np.asarray(sums[0]))
        turned[layer] = (np.linalg.pinv(turn) @ a, b.T @ turn)
        along += float((turned[layer][1] * np.asarray(sums[1]).T).sum())
        square += float(np.square(sums[1]).sum())
    half = math.sqrt(along / square) if along > 0 else 1.0
    factors: dict[str, Factors] = {layer: (half * a, b / half) for layer, (a, b) in turned.items()}
    return Change(factors)
