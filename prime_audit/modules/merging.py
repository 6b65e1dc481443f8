"""A module put into the weights of its base: a new base."""

import copy
from dataclasses import replace

import torch

from prime_audit.core import digest_json
from prime_audit.models import LanguageModel
from prime_audit.modules.lora import LoraModule, check_fit, linear_layer


@torch.no_grad()
def merged_into(lm: LanguageModel, module: LoraModule) -> LanguageModel:
    """Copies a model and adds a module to the copy's weights.

    Args:
        lm: The base; it stays as it is.
        module: The module, weighted 1.

    Returns:
        The merged model; its digest comes from the digests of base and module. In half precision the sum
        is rounded to the weights' dtype.

    Raises:
        ModelError: The module belongs to another base.
    """
    check_fit(module, lm.model)
    model = copy.deepcopy(lm.model)
    for name, (a, b) in module.factors.items():
        weight = linear_layer(model, name).weight
        change = module.scaling * (b.to(lm.device) @ a.to(lm.device))
        weight.copy_(weight.float() + change)
    return replace(lm, model=model, digest=digest_json([lm.digest, module.digest]))
