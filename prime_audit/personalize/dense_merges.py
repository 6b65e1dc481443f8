"""TIES and DARE on the dense changes, cut back to a LoRA by SVD.

Both papers work on the change of the weights themselves. PEFT's ``ties`` and ``dare_*`` apply the same steps
to A and B separately, which is another algorithm; here each layer's ``ΔW`` is formed, merged and cut.

The merge is not a weighted sum of the sharers' changes, so the weights that stand in the results,
``scale / N`` for each, are nominal: they say who is in the merge, not how much of each survives.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prime_audit.config import DareMethod, TiesMethod
from prime_audit.modules import LoraModule
from prime_audit.modules.dense import change, disjoint_mean, drop, elect_signs, low_rank, trim, trim_threshold
from prime_audit.modules.lora import common_layers
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "ties",
    settings=TiesMethod,
    family="merging",
    label="TIES",
    source="TIES-Merging, arXiv:2306.01708",
)
def ties(context: TargetContext, settings: TiesMethod) -> Personalisation:
    """Trims each sharer's change, elects signs and averages what agrees, times ``scale``.

    As in the paper, a task vector is a sharer's whole change: its largest ``density`` entries are taken
    over all layers together, so a layer that changed little may vanish.
    """
    modules = context.modules()
    layers = common_layers(modules)
    thresholds = [_threshold(module, layers, settings.density) for module in modules]

    def merged(layer: str) -> Tensor:
        trimmed = torch.stack(
            [trim(change(m, layer), bound) for m, bound in zip(modules, thresholds, strict=True)]
        )
        return settings.scale * disjoint_mean(trimmed, elect_signs(trimmed))

    return _deployed(context, modules, settings, merged)


@register(
    "dare",
    settings=DareMethod,
    family="merging",
    label="DARE",
    source="DARE, arXiv:2311.03099",
)
def dare(context: TargetContext, settings: DareMethod) -> Personalisation:
    """Thins each sharer's change at random and takes the mean, or TIES's mean of what agrees.

    Every sharer and layer has a stream of its own, so a mask does not depend on who else is merged.
    """
    modules = context.modules()

    def thinned(layer: str, sharer: str, module: LoraModule) -> Tensor:
        generator = torch.Generator().manual_seed(context.seeds.integer("dare", sharer, layer))
        return drop(change(module, layer), settings.density, generator)

    def merged(layer: str) -> Tensor:
        pairs = zip(context.sharers, modules, strict=True)
        changes = torch.stack([thinned(layer, sharer, module) for sharer, module in pairs])
        if settings.combine == "ties":
            return settings.scale * disjoint_mean(changes, elect_signs(changes))
        return settings.scale * changes.mean(dim=0)

    return _deployed(context, modules, settings, merged)


def _threshold(module: LoraModule, layers: Sequence[str], density: float) -> float:
    return trim_threshold(lambda: (change(module, layer) for layer in layers), density)


def _deployed(
    context: TargetContext,
    modules: tuple[LoraModule, ...],
    settings: TiesMethod | DareMethod,
    merged: Callable[[str], Tensor],
) -> Personalisation:
    layers = common_layers(modules)
    rank = settings.rank or max(sum(m.factors[layer][0].shape[0] for m in modules) for layer in layers)
    adapter, error = low_rank(((layer, merged(layer)) for layer in layers), rank)
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=adapter,
        sources=context.sharers,
        weights=(settings.scale / len(modules),) * len(modules),
        notes={"svd_error": error, "rank": rank, "weights": "nominal"},
    )
