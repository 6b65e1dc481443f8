"""Inner products of modules, from which every merge's norm follows."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.modules.lora import LoraModule, common_layers

_SAME = 1e-4  # of float32 factors, relative to the norm of the change


def gram(modules: Sequence[LoraModule], *, per_layer: bool = False) -> NDArray[np.float64]:
    """Returns the inner products ``⟨sᵢ Bᵢ Aᵢ, sⱼ Bⱼ Aⱼ⟩``, without forming any ΔW.

    With the sum over layers G, a merge of weights w in exact space has ``‖ΔW(w)‖² = w' G w``; with weights
    per layer it is the sum of ``w_l' G_l w_l``.

    Args:
        modules: The modules; they change the same layers. Ranks may differ.
        per_layer: Whether the layers are kept apart, in the order of `AdapterBank.layers`.

    Returns:
        ``(modules, modules)``, or ``(layers, modules, modules)``; Frobenius inner products.

    Raises:
        ModelError: There is no module, or their targets or shapes differ.
    """
    scalings = np.array([module.scaling for module in modules])
    layers = [_layer(modules, name) for name in common_layers(modules)]
    products = np.stack(layers) * np.outer(scalings, scalings)
    return products if per_layer else products.sum(axis=0)


def merge_norm(modules: Sequence[LoraModule], weights: Sequence[float]) -> float:
    """Returns the Frobenius norm of the merge ``Σ wᵢ sᵢ Bᵢ Aᵢ`` over all layers.

    Args:
        modules: The modules; they change the same layers.
        weights: One merge weight per module.

    Returns:
        ``√(w' G w)`` with G of `gram`.

    Raises:
        ModelError: As for `gram`.
    """
    column = np.asarray(weights, dtype=np.float64)
    return math.sqrt(max(0.0, float(column @ gram(modules) @ column)))


def is_weighted_sum(module: LoraModule, modules: Sequence[LoraModule], weights: Sequence[float]) -> bool:
    """Says whether a module is the merge ``Σ wᵢ sᵢ Bᵢ Aᵢ`` of others, to the rounding of its factors.

    Args:
        module: The module.
        modules: The others; they change the same layers.
        weights: One merge weight per other module.

    Returns:
        True if nothing of the module's norm is left beyond rounding.
    """
    distance = merge_norm([module, *modules], [1.0, *(-weight for weight in weights)])
    return distance <= _SAME * module.norm()


def _layer(modules: Sequence[LoraModule], name: str) -> NDArray[np.float64]:
    # ⟨B A, B' A'⟩ = tr(A' B' B A) = the sum of the elementwise product of B'B and AA', block by block.
    a = torch.cat([module.factors[name][0].double() for module in modules])
    b = torch.cat([module.factors[name][1].double() for module in modules], dim=1)
    ranks = torch.tensor([len(module.factors[name][0]) for module in modules])
    owner = torch.nn.functional.one_hot(torch.repeat_interleave(ranks), len(modules)).double()
    products: NDArray[np.float64] = (owner.T @ ((b.T @ b) * (a @ a.T)) @ owner).numpy()
    return products
