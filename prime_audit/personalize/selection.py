"""Which sharers a target merges: the nearest ones in embedding space (PriME, EMNLP 2025, section 3)."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prime_audit.data import Item, Task
from prime_audit.models import LanguageModel, embed


def history_embedding(model: LanguageModel, task: Task, history: Sequence[Item]) -> NDArray[np.float64]:
    """Returns the mean of the mean-pooled hidden states of a user's items.

    Args:
        model: The embedding model.
        task: The task, which formats an item.
        history: The items that may be used (never held-out ones), at least one.

    Returns:
        Shape ``(hidden,)``.
    """
    texts = [task.prompt(item.input) + task.completion(item.answer or "") for item in history]
    mean: NDArray[np.float64] = np.asarray(embed(model, texts), dtype=np.float64).mean(axis=0)
    return mean


def nearest(
    targets: Mapping[str, NDArray[np.float64]],
    sharers: Mapping[str, NDArray[np.float64]],
    count: int,
    pool: Collection[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Selects for each target the ``count`` sharers of highest cosine similarity.

    The mean over all sharers is subtracted first: mean-pooled states of one model share a large common
    direction, and without centring every cosine is close to one. The targets stay out of that mean, so what
    is selected for a target does not depend on which other targets the study has.

    Args:
        targets: Embedding per target.
        sharers: Embedding per sharer.
        count: How many sharers a target gets.
        pool: The sharers that may be selected, such as the representatives; None means all of them.

    Returns:
        For each target its sharers, most similar first, with their cosines; ties go to the earlier name.
    """
    centre = np.mean([*sharers.values()], axis=0)
    allowed = sharers if pool is None else pool
    unit = {name: _unit(sharers[name] - centre) for name in allowed}
    selected = {}
    for target, vector in targets.items():
        direction = _unit(vector - centre)
        cosines = {name: float(direction @ other) for name, other in unit.items()}
        best = sorted(cosines, key=lambda name: (-cosines[name], name))[:count]
        selected[target] = {name: cosines[name] for name in best}
    return selected


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector
