"""A merge of modules as one module that anybody can load."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prime_audit.config.methods import Space
from prime_audit.errors import ModelError
from prime_audit.modules.lora import Factors, LoraModule, common_layers, root_scalings

Form = Literal["svd", "cat"]
Weights = Sequence[float] | NDArray[np.floating]


def export(
    modules: Sequence[LoraModule],
    weights: Weights,
    *,
    space: Space = "exact",
    rank: int | None = None,
    form: Form = "svd",
) -> LoraModule:
    """Writes a merge as one pair of factors per layer.

    In the form ``svd`` they come from the singular value decomposition of ΔW (B carries U√S, A carries
    √S V'), so they hold no sharer's factors as slices. At full rank nothing is lost; a smaller ``rank``
    keeps the largest singular values, and `truncation_error` says what that costs. ΔW is never formed: QR
    of the concatenated factors leaves a decomposition of size Σr.

    The form ``cat`` stacks the sharers' own factors (B carries ``wᵢ sᵢ``). **It publishes their modules**:
    cut into slices it gives every ``Bᵢ Aᵢ`` up to a factor, with cosine 1.

    Args:
        modules: The modules; they change the same layers.
        weights: One finite merge weight per module, or ``(modules, layers)`` with the layers in the order
            of `AdapterBank.layers`.
        space: ``exact`` for ``ΔW = Σ wᵢ sᵢ Bᵢ Aᵢ``, ``factor`` for ``(Σ wᵢ √sᵢ Bᵢ)(Σ wᵢ √sᵢ Aᵢ)``; see
            `AdapterBank`.
        rank: Most singular values to keep per layer, or None for all.
        form: ``svd``, or ``cat`` in exact space at full rank.

    Returns:
        A module with alpha = rank, so that its scaling is 1. Its rank is Σr in exact space and r in factor
        space, or ``rank`` where that is less; a layer that has less is padded with zeros.

    Raises:
        ModelError: There is no module, a weight is not finite, targets or shapes differ, or in factor space
            ranks differ.
        ValueError: The weights' shape, the rank or the form does not fit.
    """
    if form == "cat" and (space != "exact" or rank is not None):
        raise ValueError("the form 'cat' exists in exact space at full rank only")
    if rank is not None and rank < 1:
        raise ValueError(f"rank is {rank}; it must be at least 1")
    layers = _merged_layers(modules, weights, space)
    full = max(len(a) for a, _ in layers.values())
    kept = full if rank is None else min(rank, full)
    split = {name: pair if form == "cat" else _balanced(pair, kept) for name, pair in layers.items()}
    return LoraModule(
        rank=kept,
        alpha=float(kept),
        rslora=False,
        factors={name: _padded(pair, kept) for name, pair in split.items()},
    )


def truncation_error(
    modules: Sequence[LoraModule], weights: Weights, rank: int, *, space: Space = "exact"
) -> float:
    """Returns what an export to a smaller rank loses, from the dropped singular values alone.

    Args:
        modules: The modules; they change the same layers.
        weights: As for `export`.
        rank: Most singular values kept per layer.
        space: As for `export`.

    Returns:
        ``‖ΔW - ΔW_export‖ / ‖ΔW‖`` over all layers (Frobenius norms): 0 for nothing lost, 1 for everything.

    Raises:
        ModelError: As for `export`.
        ValueError: The weights' shape or the rank does not fit.

    Source: Eckart and Young (1936).
    """
    if rank < 1:
        raise ValueError(f"rank is {rank}; it must be at least 1")
    layers = _merged_layers(modules, weights, space)
    values = [torch.linalg.svdvals(_core(pair)[1]) for pair in layers.values()]
    total = sum(float(s.square().sum()) for s in values)
    dropped = sum(float(s[rank:].square().sum()) for s in values)
    return math.sqrt(dropped / total) if total else 0.0


def _merged_layers(modules: Sequence[LoraModule], weights: Weights, space: Space) -> dict[str, Factors]:
    """Returns float64 factors whose product is ΔW, layer by layer."""
    names = common_layers(modules, same_rank=space == "factor")
    table = _per_layer(modules, weights, names)
    merged: dict[str, Factors] = {}
    roots = root_scalings(modules) if space == "factor" else []
    for place, name in enumerate(names):
        own = [module.factors[name] for module in modules]
        column = table[:, place].tolist()
        if space == "factor":
            scales = [weight * root for weight, root in zip(column, roots, strict=True)]
            a, b = (
                torch.stack([scale * pair[side].double() for scale, pair in zip(scales, own, strict=True)])
                for side in (0, 1)
            )
            merged[name] = (a.sum(dim=0), b.sum(dim=0))
        else:
            scales = [weight * module.scaling for weight, module in zip(column, modules, strict=True)]
            # A module that takes no part leaves no trace: its A would be a slice of the form `cat`.
            a_cat = torch.cat([a.double() * (scale != 0) for scale, (a, _) in zip(scales, own, strict=True)])
            b_cat = torch.cat([scale * b.double() for scale, (_, b) in zip(scales, own, strict=True)], dim=1)
            merged[name] = (a_cat, b_cat)
    return merged


def _per_layer(modules: Sequence[LoraModule], weights: Weights, names: Sequence[str]) -> NDArray[np.float64]:
    """Checks merge weights and spreads them over the layers: ``(modules, layers)``."""
    table = np.asarray(weights, dtype=np.float64)
    if table.shape[:1] != (len(modules),):
        raise ValueError(f"{len(modules)} modules and {len(table)} weights")
    if table.shape[1:] not in ((), (len(names),)):
        raise ValueError(f"weights have shape {table.shape}; expected {(len(modules), len(names))}")
    if not np.isfinite(table).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(table))[0])
        layer = f" in layer {names[place[1]]}" if len(place) == 2 else ""
        raise ModelError(
            f"the merge weight of module {modules[place[0]].origin or place[0]}{layer} is {table[place]}",
            hint="give finite merge weights",
        )
    return np.broadcast_to(table if table.ndim == 2 else table[:, None], (len(modules), len(names)))


def _core(pair: Factors) -> tuple[Tensor, Tensor, Tensor]:
    """Returns Q_B, a small matrix and Q_A with ``ΔW = Q_B core Q_A'``; the core has ΔW's singular values."""
    a, b = pair
    q_a, r_a = torch.linalg.qr(a.T)
    q_b, r_b = torch.linalg.qr(b)
    return q_b, r_b @ r_a.T, q_a


def _balanced(pair: Factors, rank: int) -> Factors:
    q_b, core, q_a = _core(pair)
    u, s, vh = torch.linalg.svd(core, full_matrices=False)
    u, s, vh = u[:, :rank], s[:rank], vh[:rank]
    root = s.sqrt()
    # The sign of a singular pair is free; fixing it makes equal merges equal files.
    sign = torch.where(u.gather(0, u.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)[0]
    return (root * sign)[:, None] * (vh @ q_a.T), (q_b @ u) * (root * sign)


def _padded(pair: Factors, rank: int) -> Factors:
    a, b = pair
    missing = rank - len(a)
    a = torch.nn.functional.pad(a, (0, 0, 0, missing))
    b = torch.nn.functional.pad(b, (0, missing))
    return a.float().contiguous(), b.float().contiguous()
