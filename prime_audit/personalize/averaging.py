"""Merging without a search: fixed weights on the selected sharers' exact changes."""

from prime_audit.config import UniformMethod
from prime_audit.modules import export
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "uniform",
    settings=UniformMethod,
    family="merging",
    label="Uniform merge",
    source="average of task vectors, arXiv:2212.04089",
)
def uniform(context: TargetContext, settings: UniformMethod) -> Personalisation:
    """Merges the selected sharers with ``scale / N`` each."""
    return merge_of(context, (settings.scale / len(context.sharers),) * len(context.sharers))


def merge_of(context: TargetContext, weights: tuple[float, ...]) -> Personalisation:
    """Deploys the exact merge of the selected sharers with given weights.

    Args:
        context: The target's context.
        weights: One weight per selected sharer.

    Returns:
        The personalisation.
    """
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=export(context.modules(), weights),
        sources=context.sharers,
        weights=weights,
    )
