"""Prompt-based methods: the pretrained model, the base, and retrieval from the target's own history.

Sources: LaMP (arXiv:2304.11406) section 3 for retrieval augmentation with BM25.
"""

import logging

import bm25s
import numpy as np
from numpy.typing import NDArray

from prime_audit.config import BaseMethod, PretrainedMethod, RagMethod
from prime_audit.data import Item
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext

# The library sets its own logger to DEBUG on import and would write a line per index.
logging.getLogger("bm25s").setLevel(logging.WARNING)


@register(
    "pretrained",
    settings=PretrainedMethod,
    family="prompt",
    label="Pretrained model",
    source="the model as it came",
)
def pretrained(context: TargetContext, settings: PretrainedMethod) -> Personalisation:
    """Deploys the model as it came, without task adaptation."""
    return Personalisation(prompt=context.plain_prompt, on_pretrained=True)


@register(
    "base",
    settings=BaseMethod,
    family="training",
    label="Task-adapted base",
    source="LoRA on public users, merged",
)
def base(context: TargetContext, settings: BaseMethod) -> Personalisation:
    """Deploys the task-adapted model: the comparator that is not personalised."""
    return Personalisation(prompt=context.plain_prompt)


class HistoryIndex:
    """BM25 over one user's history (k1 = 1.5, b = 0.75; ties broken by history order)."""

    def __init__(self, history: tuple[Item, ...]) -> None:
        """Indexes ``history``; the documents are the items' inputs and answers."""
        self._history = history
        documents = [f"{item.input} {item.answer or ''}" for item in history]
        tokens = bm25s.tokenize(documents, stopwords=[], return_ids=False, show_progress=False)
        self._bm25 = bm25s.BM25(k1=1.5, b=0.75)
        # An index over no word at all cannot be built; one placeholder keeps such a history searchable.
        self._bm25.index([words or ["-"] for words in tokens], show_progress=False)

    def retrieve(self, query: str, k: int) -> tuple[Item, ...]:
        """Returns the ``k`` best items, the best one last, next to the question.

        Args:
            query: The text asked about.
            k: How many items; fewer are returned if the history is shorter.

        Returns:
            The items in ascending order of relevance.
        """
        best = np.argsort(-self.scores(query), kind="stable")[:k]
        return tuple(self._history[i] for i in best[::-1])

    def scores(self, query: str) -> NDArray[np.float64]:
        """Returns the BM25 score of every item, shape ``(items,)``; zeros if no word is known."""
        words = bm25s.tokenize([query], stopwords=[], return_ids=False, show_progress=False)[0]
        if not words:
            return np.zeros(len(self._history))
        return np.asarray(self._bm25.get_scores(words), dtype=np.float64)


@register(
    "rag",
    settings=RagMethod,
    family="prompt",
    label="Retrieval (BM25)",
    source="LaMP, arXiv:2304.11406",
)
def rag(context: TargetContext, settings: RagMethod) -> Personalisation:
    """Puts the ``k`` most relevant items of the target's history in front of each query."""
    index = HistoryIndex(context.target.history)

    def prompt(item: Item) -> str:
        return context.task.prompt(item.input, index.retrieve(item.input, settings.k))

    return Personalisation(prompt=prompt)
