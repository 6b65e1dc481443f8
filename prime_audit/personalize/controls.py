"""Controls of another method: is it the direction of its merge that protects the sharers, or only its norm?

Each deploys, for the same target and the same sharers, a merge that shares one of the two with the method
named by ``of`` (soundness: share and norm are different things). They read what that method deployed, and
where it fell back to the base there is nothing to match: they fall back too.
"""

from dataclasses import replace

import numpy as np

from prime_audit.config import NormMatchedMethod, RandomWeightsMethod, RescaledMethod
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, merge_norm
from prime_audit.personalize.averaging import merge_of
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Outcome, Personalisation, TargetContext

ROUNDING = 1e-6  # of float32 factors, relative to the largest change that is merged


@register(
    "random-weights",
    settings=RandomWeightsMethod,
    family="control",
    label="Random weights of equal norm",
    source="control of direction at equal norm",
)
def random_weights(context: TargetContext, settings: RandomWeightsMethod) -> Personalisation:
    """Merges the sharers in a Gaussian direction, scaled to the norm of the other method's change."""
    direction = context.seeds.generator("random-weights").standard_normal(len(context.sharers))
    direction /= np.linalg.norm(direction)
    return _matched(context, settings.of, tuple(float(weight) for weight in direction))


@register(
    "norm-matched",
    settings=NormMatchedMethod,
    family="control",
    label="Uniform merge of equal norm",
    source="control of direction at equal norm",
)
def norm_matched(context: TargetContext, settings: NormMatchedMethod) -> Personalisation:
    """Merges the sharers with equal weights, scaled to the norm of the other method's change."""
    return _matched(context, settings.of, _uniform(context))


@register(
    "rescaled",
    settings=RescaledMethod,
    family="control",
    label="Same direction, norm of the uniform merge",
    source="control of norm at equal direction",
)
def rescaled(context: TargetContext, settings: RescaledMethod) -> Personalisation:
    """Deploys the other method's own adapter, scaled to the norm of the uniform merge ``1 / N``."""
    other = _outcome(context, settings.of)
    adapter = other.adapter()
    if other.norm == 0 or adapter is None:
        return _fallback(context, f"{settings.of} deployed no change, so there is nothing to scale")
    wanted = _merge_norm(context, _uniform(context))
    if wanted == 0:
        return _fallback(context, "the sharers' changes cancel, so the uniform merge has no norm")
    factor = wanted / adapter.norm()
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=_scaled(adapter, factor),
        sources=tuple(other.weights),
        weights=tuple(factor * weight for weight in other.weights.values()),
        notes={"scale": factor},
    )


def _matched(context: TargetContext, of: str, direction: tuple[float, ...]) -> Personalisation:
    """Deploys the exact merge along ``direction`` with the norm of the other method's change."""
    other = _outcome(context, of)
    if other.norm == 0:
        return _fallback(context, f"{of} deployed no change, so there is no norm to match")
    found = _merge_norm(context, direction)
    if found == 0:
        return _fallback(context, "the sharers' changes cancel, so no factor gives them a norm")
    factor = other.norm / found
    return merge_of(context, tuple(factor * weight for weight in direction), notes={"scale": factor})


def _outcome(context: TargetContext, of: str) -> Outcome:
    if of not in context.others:
        raise ConfigError(
            f"a control of '{of}' needs what '{of}' deployed for target {context.target.id}",
            hint="run both methods in one study",
        )
    return context.others[of]


def _uniform(context: TargetContext) -> tuple[float, ...]:
    return (1 / len(context.sharers),) * len(context.sharers)


def _merge_norm(context: TargetContext, weights: tuple[float, ...]) -> float:
    """Returns the norm of an exact merge; 0 where only rounding is left of changes that cancel."""
    modules = context.modules()
    norm = merge_norm(modules, weights)
    largest = max(abs(weight) * module.norm() for weight, module in zip(weights, modules, strict=True))
    return norm if norm > ROUNDING * largest else 0.0


def _scaled(module: LoraModule, factor: float) -> LoraModule:
    return replace(module, factors={name: (a, factor * b) for name, (a, b) in module.factors.items()})


def _fallback(context: TargetContext, reason: str) -> Personalisation:
    return Personalisation(prompt=context.plain_prompt, reverted=True, reason=reason)
