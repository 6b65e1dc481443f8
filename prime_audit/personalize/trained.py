"""What the methods that train a module for a target have in common: their records and their settings."""

from collections.abc import Sequence
from typing import Any

from prime_audit.config import ProfileSettings, RetrievalSettings, TrainedSettings, TrainingConfig
from prime_audit.data import Item, by_date
from prime_audit.models import Example
from prime_audit.modules import Stopping
from prime_audit.personalize.augmenting import PersonalPrompt, Pick
from prime_audit.personalize.profiles import profile_of
from prime_audit.personalize.retrieval import Retriever
from prime_audit.personalize.types import TargetContext


def resolved(settings: TrainedSettings, training: TrainingConfig) -> TrainingConfig:
    """Returns how a method trains: the study's settings with the method's own in their place.

    Args:
        settings: Of the method.
        training: Of the study.

    Returns:
        The settings; a rank without an alpha of its own keeps the study's ratio of alpha to rank.
    """
    rank = settings.rank or training.rank
    alpha = settings.alpha or training.alpha * rank / training.rank
    changed = {"rank": rank, "alpha": alpha, "lr": settings.lr, "epochs": settings.epochs}
    return training.model_copy(update={name: value for name, value in changed.items() if value is not None})


def stopping_of(settings: TrainedSettings) -> Stopping | None:
    """Returns when a method stops training; None where it runs every epoch."""
    return Stopping(settings.held_out, settings.patience) if settings.early_stopping else None


def own_examples(context: TargetContext, settings: Any) -> list[Example]:  # noqa: ANN401 - any method's
    """Returns the target's past items as they are trained on, the oldest first.

    Args:
        context: The target's context; nobody else's records are read.
        settings: Of the method. With retrieval, the prompt of a past item shows items from before it; with a
            profile, every prompt shows the same one.

    Returns:
        One example per item.
    """
    retrieval = settings if isinstance(settings, RetrievalSettings) else None
    profile = profile_of(context, settings).text if isinstance(settings, ProfileSettings) else ""
    history, past = context.target.history, context.task.past
    order = by_date(history)
    prompt = PersonalPrompt(
        context.base,
        past,
        pick=None if retrieval is None else _earlier(context, retrieval, history, order),
        profile=profile,
        max_item_tokens=None if retrieval is None else retrieval.max_item_tokens,
    )
    items = [history[place] for place in order]
    return [Example(prompt(item), past.completion(item.answer or "")) for item in items]


def _earlier(
    context: TargetContext, settings: RetrievalSettings, history: Sequence[Item], order: Sequence[int]
) -> Pick:
    """Retrieves for a past item among those that come before it in the history."""
    retriever = Retriever(context, settings, history)
    rank = {history[place]: rank for rank, place in enumerate(order)}
    return lambda item: retriever.retrieve(item, frozenset(order[: rank[item]]))


def plain_examples(context: TargetContext, items: Sequence[Item]) -> list[Example]:
    """Returns somebody's past items as modules are trained on them, without any personal context."""
    past = context.task.past
    return [Example(past.prompt(item.input), past.completion(item.answer or "")) for item in items]
