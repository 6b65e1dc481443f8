"""Taking a merge apart: sharers' own modules out of what was deployed, without a pool of candidates.

Every change stays in factors; none is formed as a matrix.
"""

from collections.abc import Sequence

import numpy as np

from attacks.arrays import FloatArray
from attacks.changes import Change, Factors, inner_products, layers_of


def slices(merged: Change, ranks: Sequence[int]) -> tuple[Change, ...]:
    """Cuts a rank-concatenated adapter into the modules that it was made of (A1, no pool).

    Such an export carries every sharer's ``wᵢ sᵢ Bᵢ`` and ``Aᵢ`` as a slice, so that each part is their own
    ΔW up to a factor: cosine 1. An export by singular value decomposition holds no such slices.

    Args:
        merged: The adapter.
        ranks: The modules' ranks, in the order of the merge.

    Returns:
        A change per rank.

    Raises:
        ValueError: The ranks do not add up to the rank of a layer.
    """
    cuts = np.cumsum(ranks)
    parts: list[dict[str, Factors]] = [{} for _ in ranks]
    for layer, (a, b) in merged.factors.items():
        if len(a) != cuts[-1]:
            raise ValueError(f"ranks: add up to {cuts[-1]}, layer {layer} has rank {len(a)}")
        for part, start, end in zip(parts, cuts - ranks, cuts, strict=True):
            part[layer] = (a[start:end], b[:, start:end])
    return tuple(Change(part, merged.scaling) for part in parts)


def combined(changes: Sequence[Change], coefficients: Sequence[float]) -> Change:
    """Returns ``Σ cₖ ΔWₖ`` with the factors side by side.

    Args:
        changes: The changes; layers that only some change count as zero in the others.
        coefficients: One number per change.

    Returns:
        The sum, with scaling 1; its ranks are the sums of the ranks.

    Raises:
        ValueError: The numbers of changes and coefficients differ.
    """
    joined: dict[str, Factors] = {}
    for layer in layers_of(changes):
        held = [
            (*change.factors[layer], coefficient * change.scaling)
            for change, coefficient in zip(changes, coefficients, strict=True)
            if layer in change.factors
        ]
        a = np.concatenate([a.astype(np.float64) for a, _, _ in held])
        b = np.concatenate([scale * b.astype(np.float64) for _, b, scale in held], axis=1)
        joined[layer] = (a, b)
    return Change(joined)


def coalition(merges: Sequence[Change], weights: FloatArray) -> tuple[Change, ...]:
    """Recovers the sharers' own modules from merges of the same sharers with known weights (A5).

    N targets who know their merge weights solve a linear system in the ΔW, entry by entry: exact where the
    weights have rank N, with rounding enlarged by the condition number of the weights.

    Args:
        merges: One merge in exact space per target.
        weights: ``(targets, sharers)`` merge weights.

    Returns:
        Each sharer's ``sᵢ Bᵢ Aᵢ``, by least squares.

    Raises:
        ValueError: The shapes differ, or the weights do not determine every sharer.
    """
    if weights.ndim != 2 or len(weights) != len(merges):
        raise ValueError(f"weights: have shape {weights.shape} for {len(merges)} merges")
    sharers = weights.shape[1]
    if np.linalg.matrix_rank(weights) < sharers:
        raise ValueError(f"weights: of {len(merges)} merges do not determine {sharers} sharers")
    return tuple(combined(merges, row.tolist()) for row in np.linalg.pinv(weights))


def without_own(merged: Change, own: Change, weight: float) -> Change:
    """Subtracts a co-sharer's own module (A4): what is left is the other sharers' part alone.

    Args:
        merged: A merge in exact space that holds the module.
        own: The module.
        weight: Its merge weight; `attacks.linkage.link` with the own module as the pool estimates it.

    Returns:
        ``ΔW - w · s B A``.
    """
    return combined([merged, own], [1.0, -weight])


def release_difference(before: Change, after: Change, scale: float = 1.0) -> Change:
    """Compares two releases, between which a sharer was withdrawn or added (A5).

    Args:
        before: The earlier release, in exact space.
        after: The later one.
        scale: What the weights of those who stayed were multiplied by in the later release: 1 where they
            were left alone, N / (N - 1) where a mean over N lost one of them.

    Returns:
        ``ΔW_before - ΔW_after / scale``: the withdrawn sharer's ``wᵢ sᵢ Bᵢ Aᵢ`` alone, which can be
        looked up in a pool by `attacks.linkage.link`.

    Raises:
        ValueError: The scale is zero.
    """
    if scale == 0:
        raise ValueError("scale: must not be zero")
    return combined([before, after], [1.0, -1.0 / scale])


def cosine(first: Change, second: Change) -> float:
    """Returns the cosine of two changes over all layers, 0 if one of them is zero."""
    table = inner_products([first, second]).products.sum(axis=0)
    norms = float(np.sqrt(table[0, 0] * table[1, 1]))
    return float(table[0, 1]) / norms if norms > 0 else 0.0
