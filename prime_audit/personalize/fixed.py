"""A merge of given weights: the doses of a dose-response study."""

import numpy as np

from prime_audit.config import FixedWeightsMethod
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, export
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "fixed-weights",
    settings=FixedWeightsMethod,
    family="merging",
    label="Given weights",
    source="dose-response of share and norm",
)
def fixed_weights(context: TargetContext, settings: FixedWeightsMethod) -> Personalisation:
    """Merges the most similar sharers with the given weights, scaled to the given norm.

    In factor space the change grows with the square of the weights, so its norm is set there by their
    root. What is recorded is each sharer's share of the change: the weight itself in exact space, its square
    with the weight's sign in factor space, where cross terms come on top.
    """
    count = len(settings.weights)
    if count > len(context.sharers):
        raise ConfigError(
            f"method {settings.id} has {count} weights, but each target gets {len(context.sharers)} sharers",
            hint="raise sharers.per_target or give fewer weights",
        )
    sharers, modules = context.sharers[:count], context.modules()[:count]
    weights = np.array(settings.weights, dtype=np.float64)
    change = export(modules, weights, space=settings.space)
    if settings.norm is not None:
        weights = weights * _factor(change, modules, settings)
        change = export(modules, weights, space=settings.space)
    shares = weights if settings.space == "exact" else np.sign(weights) * weights**2
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=change,
        sources=sharers,
        weights=tuple(float(share) for share in shares),
        notes={"norm": change.norm()},
    )


def _factor(change: LoraModule, modules: tuple[LoraModule, ...], settings: FixedWeightsMethod) -> float:
    """What the weights are multiplied with, so that the change has the wanted norm."""
    mean = float(np.mean([module.norm() for module in modules]))
    norm = change.norm()
    if norm == 0:
        raise ConfigError(
            f"method {settings.id}: its weights give no change, so no factor gives it a norm",
            hint="give at least one weight other than 0, or leave 'norm' out",
        )
    ratio = (settings.norm or 0.0) * mean / norm
    return float(ratio if settings.space == "exact" else np.sqrt(ratio))
