"""A merge of modules as one module that anybody can load."""

from collections.abc import Sequence

import torch
from torch import Tensor

from prime_audit.modules.lora import LoraModule, common_layers


def export(modules: Sequence[LoraModule], weights: Sequence[float]) -> LoraModule:
    """Writes ``ΔW = Σ wᵢ sᵢ Bᵢ Aᵢ`` as one balanced pair of factors per layer.

    The factors come from the singular value decomposition of ΔW (B carries U√S, A carries √S V'), so
    unlike a concatenation of the sharers' factors they do not hold any sharer's module as a slice. ΔW is
    never formed: QR of the concatenated factors leaves a decomposition of size Σr.

    Args:
        modules: The modules; they change the same layers.
        weights: One finite merge weight per module.

    Returns:
        A module of rank Σr (padded with zeros where a layer is smaller) with alpha = rank, so that its
        scaling is 1.

    Raises:
        ModelError: There is no module, or their targets are mixed.
    """
    if len(modules) != len(weights):
        raise ValueError(f"{len(modules)} modules and {len(weights)} weights")
    layers = common_layers(modules)
    scales = [float(weight) * module.scaling for weight, module in zip(weights, modules, strict=True)]
    rank = max(sum(module.factors[name][0].shape[0] for module in modules) for name in layers)
    factors = {name: _balanced([module.factors[name] for module in modules], scales, rank) for name in layers}
    return LoraModule(rank=rank, alpha=float(rank), rslora=False, factors=factors)


def _balanced(
    factors: Sequence[tuple[Tensor, Tensor]], scales: Sequence[float], rank: int
) -> tuple[Tensor, Tensor]:
    a = torch.cat([a.double() for a, _ in factors], dim=0)
    b = torch.cat([scale * b.double() for scale, (_, b) in zip(scales, factors, strict=True)], dim=1)
    q_a, r_a = torch.linalg.qr(a.T)
    q_b, r_b = torch.linalg.qr(b)
    u, s, vh = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    root = s.sqrt()
    # The sign of a singular pair is free; fixing it makes equal merges equal files.
    sign = torch.where(u.gather(0, u.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)[0]
    new_b, new_a = (q_b @ u) * (root * sign), (root * sign)[:, None] * (vh @ q_a.T)
    missing = rank - len(s)
    new_a = torch.nn.functional.pad(new_a, (0, 0, 0, missing))
    new_b = torch.nn.functional.pad(new_b, (0, missing))
    return new_a.float().contiguous(), new_b.float().contiguous()
