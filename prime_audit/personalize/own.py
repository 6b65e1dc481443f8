"""One PEFT per user (OPPU, arXiv:2402.04401): a module trained on the target's own history alone."""

from dataclasses import replace

from prime_audit.config import OppuMethod, OppuProfileMethod, OppuRagMethod
from prime_audit.personalize.prompting import augmented
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext

_SOURCE = "OPPU, arXiv:2402.04401"


@register(
    "oppu",
    settings=OppuMethod,
    family="training",
    label="Own module (OPPU)",
    source=_SOURCE,
    needs_own_module=True,
)
def oppu(context: TargetContext, settings: OppuMethod) -> Personalisation:
    """Deploys the module that was trained on the target's own history."""
    return _with_own(context, Personalisation(prompt=context.plain_prompt))


@register(
    "oppu-rag",
    settings=OppuRagMethod,
    family="training",
    label="Own module and retrieval (OPPU)",
    source=_SOURCE,
    needs_own_module=True,
    shows_history=True,
)
def oppu_rag(context: TargetContext, settings: OppuRagMethod) -> Personalisation:
    """Deploys a module that was trained with retrieved items in its prompts, and such prompts."""
    return _with_own(context, augmented(context, retrieval=settings))


@register(
    "oppu-profile",
    settings=OppuProfileMethod,
    family="training",
    label="Own module and profile (OPPU)",
    source=_SOURCE,
    needs_own_module=True,
    shows_history=True,
)
def oppu_profile(context: TargetContext, settings: OppuProfileMethod) -> Personalisation:
    """Deploys a module that was trained with a profile in its prompts, and such prompts."""
    return _with_own(context, augmented(context, profile=settings))


def _with_own(context: TargetContext, prompts: Personalisation) -> Personalisation:
    target = context.target.id
    return replace(prompts, adapter=context.load(target), sources=(target,), weights=(1.0,))
