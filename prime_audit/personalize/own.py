"""One PEFT per user (OPPU, arXiv:2402.04401): a module trained on the target's own history alone."""

from prime_audit.config import OppuMethod
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "oppu",
    settings=OppuMethod,
    family="training",
    label="Own module (OPPU)",
    source="OPPU, arXiv:2402.04401",
    needs_own_module=True,
)
def oppu(context: TargetContext, settings: OppuMethod) -> Personalisation:
    """Deploys the module that was trained on the target's own history."""
    target = context.target.id
    return Personalisation(
        prompt=context.plain_prompt, adapter=context.load(target), sources=(target,), weights=(1.0,)
    )
