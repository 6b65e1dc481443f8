"""Merge, then adapt: a small module is trained for the target on top of the sharers' merge.

Source: MTA (arXiv:2511.20072): a merge weighted by similarity, and a module of very low rank stacked on it.
"""

from prime_audit.config import AdaptMergedMethod
from prime_audit.modules import export, merged_into, train_personal
from prime_audit.personalize.registry import register
from prime_audit.personalize.starts import similarity_weights
from prime_audit.personalize.trained import own_examples, resolved, stopping_of
from prime_audit.personalize.types import Personalisation, TargetContext


@register(
    "adapt-merged",
    settings=AdaptMergedMethod,
    family="merging",
    label="Merged, then adapted",
    source="MTA, arXiv:2511.20072",
    about=("sharer", "target"),
)
def adapt_merged(context: TargetContext, settings: AdaptMergedMethod) -> Personalisation:
    """Deploys the sum of the merge and of a module trained on the target's history over it.

    The sum is written anew by SVD, exactly. Weights are those of the sharers; the target's own module has
    weight 1 and stands in no list, since nobody but the target could be given it.
    """
    shares = [settings.scale * share for share in similarity_weights(context, settings.temperature)]
    merged = export(context.modules(), shares)
    training = resolved(settings, context.training)
    names = sorted({name.rpartition(".")[2] for name in merged.factors})
    own, record = train_personal(
        merged_into(context.base, merged),
        own_examples(context, settings),
        training.model_copy(update={"target_modules": tuple(names)}),
        context.seeds.integer("train"),
        stopping_of(settings),
    )
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=export([merged, own], [1.0, 1.0]),
        sources=context.sharers,
        weights=tuple(shares),
        notes={
            "own_norm": round(own.norm(), 10),
            "items": record.items,
            "held_out": record.held_out,
            "epochs": record.epochs,
            "best_epoch": record.best_epoch,
        },
        tried=record.epochs if record.held_out else 0,
        aside=record.held_out,
    )
