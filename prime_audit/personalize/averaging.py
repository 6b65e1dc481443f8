"""Merging without a search: the same weight for every selected sharer."""

from prime_audit.config import UniformMethod
from prime_audit.personalize.types import Personalisation, TargetContext


def uniform(context: TargetContext, settings: UniformMethod) -> Personalisation:
    """Merges the selected sharers with ``scale / N`` each."""
    count = len(context.sharers)
    return Personalisation(
        prompt=context.plain_prompt,
        modules=tuple(context.load(sharer) for sharer in context.sharers),
        weights=(settings.scale / count,) * count,
        sources=context.sharers,
    )
