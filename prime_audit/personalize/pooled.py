"""One module on everybody's records: the pooled fine-tune that personal modules are compared with."""

from prime_audit.config import PooledMethod
from prime_audit.models import Example
from prime_audit.personalize.registry import register
from prime_audit.personalize.trained import own_examples, plain_examples
from prime_audit.personalize.types import Personalisation, TargetContext


def pooled_examples(context: TargetContext, settings: PooledMethod) -> list[Example]:
    """Returns the IN records of the pool's sharers, then the target's, which alone may be set aside."""
    others = [one for items in context.pooled.values() for one in plain_examples(context, items)]
    return [*others, *own_examples(context, settings)]


@register(
    "pooled",
    settings=PooledMethod,
    family="training",
    label="Pooled module",
    source="fine-tuning on all users together",
    needs_own_module=True,
    about=("sharer", "target"),
    examples=pooled_examples,
)
def pooled(context: TargetContext, settings: PooledMethod) -> Personalisation:
    """Deploys a module that was trained on the IN records of sharers and of the target.

    Its sources are the people whose records are in it, one share each; nobody's module is.
    """
    people = (*context.pooled, context.target.id)
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=context.load(context.target.id),
        sources=people,
        weights=(1.0,) * len(people),
        notes={"people": len(people)},
    )
