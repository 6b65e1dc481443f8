"""Merging without a search: fixed weights on the selected sharers' exact changes, or one factor for all."""

from dataclasses import replace

import numpy as np

from prime_audit.config import NearestMethod, SimilarityMethod, TaskArithmeticMethod, UniformMethod
from prime_audit.errors import DataError
from prime_audit.modules import AdapterBank, export
from prime_audit.personalize.answers import utilities
from prime_audit.personalize.registry import register
from prime_audit.personalize.starts import similarity_weights
from prime_audit.personalize.types import Note, Personalisation, TargetContext


@register(
    "nearest",
    settings=NearestMethod,
    family="merging",
    label="Nearest sharer",
    source="PEFT retrieval, a baseline of Per-Pcs, arXiv:2406.10471",
)
def nearest_sharer(context: TargetContext, settings: NearestMethod) -> Personalisation:
    """Deploys ``scale`` times the module of the most similar sharer."""
    return merge_of(context, (settings.scale,), sources=context.sharers[:1])


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


@register(
    "task-arithmetic",
    settings=TaskArithmeticMethod,
    family="merging",
    label="Task arithmetic",
    source="task arithmetic, arXiv:2212.04089",
)
def task_arithmetic(context: TargetContext, settings: TaskArithmeticMethod) -> Personalisation:
    """Adds up the selected sharers' changes, times one factor that is given or chosen on the history.

    A factor is chosen by the task's normalised utility on the target's latest ``max_items`` items; equal
    ones go to the factor of smaller magnitude, which stays closer to the base.
    """
    scale, tried = settings.scale, 0
    if scale is None:
        scale, tried = _best_scale(context, settings), len(settings.grid)
    merged = merge_of(context, (scale,) * len(context.sharers), notes={"scale": scale})
    return replace(merged, tried=tried)


@register(
    "similarity",
    settings=SimilarityMethod,
    family="merging",
    label="Similarity-weighted merge",
    source="softmax of similarities, as in MTA, arXiv:2511.20072",
)
def similarity(context: TargetContext, settings: SimilarityMethod) -> Personalisation:
    """Weights sharer i with ``scale · exp(cosᵢ / temperature) / Σⱼ exp(cosⱼ / temperature)``."""
    shares = similarity_weights(context, settings.temperature)
    return merge_of(context, tuple(settings.scale * share for share in shares))


def merge_of(
    context: TargetContext,
    weights: tuple[float, ...],
    *,
    sources: tuple[str, ...] | None = None,
    notes: dict[str, Note] | None = None,
) -> Personalisation:
    """Deploys the exact merge of sharers with given weights.

    Args:
        context: The target's context.
        weights: One weight per merged sharer.
        sources: The sharers to merge; by default all that were selected.
        notes: What the report should say beside the weights.

    Returns:
        The personalisation.
    """
    merged = context.sharers if sources is None else sources
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=export(tuple(context.load(sharer) for sharer in merged), weights),
        sources=merged,
        weights=weights,
        notes=notes or {},
    )


def _best_scale(context: TargetContext, settings: TaskArithmeticMethod) -> float:
    """Evaluates the whole grid in one call and returns its best factor."""
    items = context.latest(settings.max_items)
    if not items:
        raise DataError(
            f"method {settings.id}: target {context.target.id} has no history to choose the scale on",
            hint="set the method's 'scale', or give the target a history",
        )
    modules = context.modules()
    candidates = np.repeat(np.array(settings.grid)[:, None], len(modules), axis=1)
    found = utilities(context.base, context.task.past, items, AdapterBank(modules), candidates)
    utility = dict(zip(settings.grid, found, strict=True))
    return min(utility, key=lambda scale: (-utility[scale], abs(scale), scale))
