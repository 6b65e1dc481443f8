"""Low-rank changes of a model's layers: what an adapter is to the attacks on adapters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.arrays import FloatArray
from attacks.gram_fit import Grams

# How many changes are set against all others at a time.
_AT_ONCE = 64

# A (rank, d_in) and B (d_out, rank).
Factors = tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Change:
    """A low-rank change ``ΔW = scaling · B · A`` of some layers.

    Attributes:
        factors: By layer: A ``(rank, d_in)`` and B ``(d_out, rank)``.
        scaling: The factor in front of ``B · A``.
    """

    factors: Mapping[str, Factors]
    scaling: float = 1.0


def layers_of(changes: Sequence[Change]) -> list[str]:
    """Returns the names of all layers that any of the changes changes, sorted."""
    return sorted({layer for change in changes for layer in change.factors})


def check_changes(changes: Sequence[Change], names: Sequence[str]) -> None:
    """Checks that changes can be compared.

    Args:
        changes: The changes.
        names: What to call them.

    Raises:
        ValueError: One is zero, or a layer has another shape than in an earlier one.
    """
    shapes: dict[str, tuple[int, int]] = {}
    for change, name in zip(changes, names, strict=True):
        for layer, (a, b) in change.factors.items():
            shape = (b.shape[0], a.shape[1])
            wanted = shapes.setdefault(layer, shape)
            if a.shape[0] != b.shape[1] or wanted != shape:
                raise ValueError(f"{name}: layer {layer} is {shape}, not {wanted} as in the others")
        if change.scaling == 0 or not any(a.any() and b.any() for a, b in change.factors.values()):
            raise ValueError(f"{name}: changes nothing")


def inner_products(changes: Sequence[Change]) -> Grams:
    """Returns the inner products of changes, from their factors alone.

    ``⟨B₁A₁, B₂A₂⟩`` is the sum of the elementwise product of ``B₁'B₂`` and ``A₁A₂'``.

    Args:
        changes: The changes; layers that only some change count as zero in the others.

    Returns:
        Products per layer, in the order of `layers_of`.
    """
    products, sizes = [], []
    for layer in layers_of(changes):
        table = np.zeros((len(changes), len(changes)))
        held = [place for place, change in enumerate(changes) if layer in change.factors]
        own = [changes[place].factors[layer] for place in held]
        a = np.concatenate([pair[0].astype(np.float64) for pair in own])
        b = np.concatenate([pair[1].astype(np.float64) for pair in own], axis=1)
        scale = np.array([changes[place].scaling for place in held])
        sums = _block_sums(a, b, [len(pair[0]) for pair in own])
        table[np.ix_(held, held)] = sums * np.outer(scale, scale)
        products.append(table)
        sizes.append(b.shape[0] * a.shape[1])
    return Grams(np.array(products), np.array(sizes, dtype=np.float64))


def _block_sums(a: FloatArray, b: FloatArray, ranks: Sequence[int]) -> FloatArray:
    """``⟨BᵢAᵢ, BⱼAⱼ⟩`` for factors that stand side by side, some rows at a time: the whole grows with N²."""
    owner = np.repeat(np.eye(len(ranks)), ranks, axis=0)
    ends = np.cumsum([0, *ranks])
    rows = []
    for first in range(0, len(ranks), _AT_ONCE):
        last = min(first + _AT_ONCE, len(ranks))
        part = slice(ends[first], ends[last])
        products = (b[:, part].T @ b) * (a[part] @ a.T)
        rows.append(owner[part, first:last].T @ products @ owner)
    return np.concatenate(rows)


def factor_products(changes: Sequence[Change]) -> tuple[Grams, Grams] | None:
    """Returns the inner products of the factors A, and of B with their scalings.

    Args:
        changes: The changes; where the first one's factor holds zeros, its other entries alone are compared.

    Returns:
        Products of A and of B per layer; None where a layer's ranks differ or not all change the same layers.
    """
    products: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    sizes: tuple[list[int], list[int]] = ([], [])
    for layer in layers_of(changes):
        if not all(layer in change.factors for change in changes):
            return None
        # Layer by layer, so that changes on a disk are read once.
        own = [change.factors[layer] for change in changes]
        if len({len(a) for a, _ in own}) > 1:
            return None
        for side in (0, 1):
            scales = np.array([change.scaling if side else 1.0 for change in changes])
            rows = np.stack([pair[side].ravel().astype(np.float64) for pair in own])
            # The entries that a trimming or dropping merge has left; all where it left none.
            held = rows[0] != 0 if rows[0].any() else np.ones(rows.shape[1], dtype=np.bool_)
            rows = (rows * scales[:, None])[:, held]
            products[side].append(rows @ rows.T)
            sizes[side].append(rows.shape[1])
    first, second = (
        Grams(np.array(table), np.array(size, dtype=np.float64))
        for table, size in zip(products, sizes, strict=True)
    )
    return first, second
