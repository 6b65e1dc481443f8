"""Which past items stand in a prompt: by BM25, by date, at random, or by the nearness of vectors.

Source: LaMP (arXiv:2304.11406), section 3. Nothing retrieves the item that is asked about, or a later one.
"""

import logging
from collections.abc import Callable, Collection, Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

from prime_audit.config import RetrievalSettings
from prime_audit.data import Item, by_date, usable_for
from prime_audit.models import embed
from prime_audit.personalize.types import TargetContext

# The library sets its own logger to DEBUG on import and would write a line per index.
logging.getLogger("bm25s").setLevel(logging.WARNING)

Floats = NDArray[np.float64]
# One figure per item, the higher the better it fits the query; of equal ones the earlier item comes first.
Ranking = Callable[[Item], Floats]


class HistoryIndex:
    """BM25 over one user's history (k1 = 1.5, b = 0.75; ties broken by history order)."""

    def __init__(self, history: Sequence[Item]) -> None:
        """Indexes ``history``; the documents are the items' inputs and answers."""
        self._count = len(history)
        tokens = bm25s.tokenize(_documents(history), stopwords=[], return_ids=False, show_progress=False)
        self._bm25 = bm25s.BM25(k1=1.5, b=0.75)
        # An index over no word at all cannot be built; one placeholder keeps such a history searchable.
        self._bm25.index([words or ["-"] for words in tokens], show_progress=False)

    def scores(self, query: str) -> Floats:
        """Returns the BM25 score of every item, shape ``(items,)``; zeros if no word is known."""
        words = bm25s.tokenize([query], stopwords=[], return_ids=False, show_progress=False)[0]
        if not words:
            return np.zeros(self._count)
        return np.asarray(self._bm25.get_scores(words), dtype=np.float64)


class Retriever:
    """Finds the items of one collection that are shown with a query."""

    def __init__(self, context: TargetContext, settings: RetrievalSettings, items: Sequence[Item]) -> None:
        """Prepares a collection.

        Args:
            context: The target's context.
            settings: How many items, and which.
            items: The target's own history, or the items of public users.
        """
        self._items = tuple(items)
        self._k = settings.k
        self._ranking = _ranking(context, settings, self._items) if self._items else None

    def retrieve(self, query: Item, among: Collection[int] | None = None) -> tuple[Item, ...]:
        """Returns the ``k`` best items that may be shown with a query.

        Args:
            query: What is asked about.
            among: Positions of the items to choose from; None for all of them.

        Returns:
            The items in ascending order of rank, the best one last, next to the question; fewer if fewer are
            there or may be shown.
        """
        if self._ranking is None:
            return ()
        places = usable_for(query, self._items)
        usable = np.array([p for p in places if among is None or p in among], dtype=np.int64)
        scores = self._ranking(query)[usable]
        best = usable[np.argsort(-scores, kind="stable")[: self._k]]
        return tuple(self._items[place] for place in best[::-1])


def _ranking(context: TargetContext, settings: RetrievalSettings, items: tuple[Item, ...]) -> Ranking:
    if settings.retriever == "bm25":
        index = HistoryIndex(items)
        return lambda query: index.scores(query.input)
    if settings.retriever == "recency":
        order = np.empty(len(items))
        order[by_date(items)] = np.arange(len(items))
        return lambda query: order
    if settings.retriever == "random":
        return lambda query: context.seeds.generator("retrieve", query.id).random(len(items))
    return _dense(context, settings, items)


def _dense(context: TargetContext, settings: RetrievalSettings, items: tuple[Item, ...]) -> Ranking:
    """Cosines of vectors; those of the base are centred first, for its texts share one large direction."""
    own = settings.encoder == "base"
    encode = _by_base(context) if own else context.encoder(settings.encoder)
    vectors = encode(_documents(items))
    centre = vectors.mean(axis=0) if own else np.zeros(vectors.shape[1])
    units = _unit(vectors - centre)

    def ranking(query: Item) -> Floats:
        scores: Floats = units @ _unit(encode([query.input]) - centre)[0]
        return scores

    return ranking


def _by_base(context: TargetContext) -> Callable[[Sequence[str]], Floats]:
    return lambda texts: embed(context.base, texts)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.where(lengths > 0, lengths, 1.0)
    return unit


def _documents(items: Sequence[Item]) -> list[str]:
    return [f"{item.input} {item.answer or ''}" for item in items]
