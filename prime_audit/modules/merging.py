"""A module put into its base for good: a new base."""

import copy
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from prime_audit.core import digest_json
from prime_audit.models import LanguageModel
from prime_audit.modules.lora import LoraModule, check_fit, linear_layer, low_rank_hook


def merged_into(lm: LanguageModel, module: LoraModule) -> LanguageModel:
    """Copies a model and adds a module to the copy's weights.

    A quantised base keeps its weights, and the module stays beside them in float32. Added and rounded anew,
    most of it would be lost: a step of 4 bits is wider than most of what training changes. It was also
    trained beside the quantised weights (QLoRA, arXiv 2305.14314), so beside them it is what was trained.

    Args:
        lm: The base; it stays as it is.
        module: The module, weighted 1.

    Returns:
        The merged model; its digest comes from the digests of base and module. In half precision the sum
        is rounded to the weights' dtype. A quantised one shares the memory of its base's weights.

    Raises:
        ModelError: The module belongs to another base.
    """
    check_fit(module, lm.model)
    model = _added(lm, module) if lm.quantization is None else _beside(lm, module)
    return replace(lm, model=model, digest=digest_json([lm.digest, module.digest]))


@torch.no_grad()
def _added(lm: LanguageModel, module: LoraModule) -> PreTrainedModel:
    model = copy.deepcopy(lm.model)
    for name, (a, b) in module.factors.items():
        weight = linear_layer(model, name).weight
        change = module.scaling * (b.to(lm.device) @ a.to(lm.device))
        weight.copy_(weight.float() + change)
    return model


def _beside(lm: LanguageModel, module: LoraModule) -> PreTrainedModel:
    # Nothing writes to the weights of a quantised model, so the copy needs none of its own.
    model = copy.deepcopy(lm.model, {id(weight): weight for weight in lm.model.parameters()})
    for name, (a, b) in module.factors.items():
        hook = low_rank_hook(a.to(lm.device), b.to(lm.device), module.scaling)
        linear_layer(model, name).register_forward_hook(hook)
    return model
