"""How a history becomes one vector: by the base model, by its words, or by a sentence encoder."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from prime_audit.data import Item, Task
from prime_audit.errors import DataError
from prime_audit.models import LanguageModel, SentenceEncoder
from prime_audit.personalize.selection import history_embedding

Embedder = Callable[[Sequence[Item]], NDArray[np.float64]]


def base_embedder(model: LanguageModel, task: Task) -> Embedder:
    """Embeds by the base model's hidden states; see `history_embedding`.

    Args:
        model: The task-adapted base.
        task: The task; items are put to the model in its prompt.

    Returns:
        A function from a history of at least one item to a vector ``(hidden,)``.
    """
    return partial(history_embedding, model, task)


def tfidf_embedder(fitted_on: Iterable[Sequence[Item]]) -> Embedder:
    """Embeds by the words of input and answer, weighted by TF-IDF (scikit-learn).

    A word is a run of letters and digits, one-letter words and stars of a rating included. An item's vector
    has length one, a history's is the mean of its items'. Words that were not fitted on count for nothing.

    Args:
        fitted_on: Histories that vocabulary and document frequencies come from; one item is one document.

    Returns:
        A function from a history of at least one item to a vector ``(words,)``.

    Raises:
        DataError: The histories hold no word at all.
    """
    documents = [text for history in fitted_on for text in _texts(history)]
    vectoriser = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")  # noqa: S106 - what a word is
    try:
        vectoriser.fit(documents)
    except ValueError as error:
        raise DataError(
            f"sharers.embedder tfidf: {error}", hint="the histories hold no words; use another embedder"
        ) from error
    return lambda history: np.asarray(vectoriser.transform(_texts(history)).mean(axis=0)).ravel()


def sentence_embedder(encoder: SentenceEncoder) -> Embedder:
    """Embeds by a sentence encoder: the mean of its vectors of the items' inputs and answers.

    Args:
        encoder: The encoder.

    Returns:
        A function from a history of at least one item to a vector ``(d,)``.
    """

    def embed(history: Sequence[Item]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = encoder.embed(_texts(history)).mean(axis=0)
        return mean

    return embed


def _texts(history: Sequence[Item]) -> list[str]:
    """Items without the task's instruction, which is the same in all of them and would fill the input."""
    return [f"{item.input}\n{item.answer or ''}" for item in history]
