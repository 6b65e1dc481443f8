"""One PEFT per user (OPPU, arXiv:2402.04401): a module trained on the target's own history alone."""

from prime_audit.config import OppuMethod
from prime_audit.personalize.types import Personalisation, TargetContext


def oppu(context: TargetContext, settings: OppuMethod) -> Personalisation:
    """Deploys the module that was trained on the target's own history."""
    target = context.target.id
    return Personalisation(
        prompt=context.plain_prompt, modules=(context.load(target),), weights=(1.0,), sources=(target,)
    )
