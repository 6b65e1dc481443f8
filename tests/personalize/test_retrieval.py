import numpy as np

from prime_audit.data import Item
from prime_audit.personalize.prompting import HistoryIndex

HISTORY = (
    Item("1", "the harbour of the old town", "ships"),
    Item("2", "a long winter in the mountains", "snow"),
    Item("3", "ships leave the harbour at dawn", "dawn"),
)


def test_the_best_item_stands_last() -> None:
    found = HistoryIndex(HISTORY).retrieve("harbour dawn", 2)
    assert [item.id for item in found] == ["1", "3"]


def test_scores_follow_the_bm25_formula() -> None:
    """Lucene's variant (k1 1.5, b .75), written out for one word of the query."""
    index = HistoryIndex(HISTORY)
    scores = index.scores("snow")
    documents = [f"{i.input} {i.answer}".split() for i in HISTORY]
    # One-letter words are dropped by the tokeniser.
    lengths = np.array([sum(len(word) > 1 for word in document) for document in documents])
    idf = np.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 1 / (1 + 1.5 * (1 - 0.75 + 0.75 * lengths[1] / lengths.mean()))
    assert np.flatnonzero(scores).tolist() == [1]
    assert np.isclose(scores[1], expected, rtol=1e-5)


def test_a_query_without_known_words_takes_the_first_items() -> None:
    assert len(HistoryIndex(HISTORY).retrieve("zebra", 2)) == 2
    assert len(HistoryIndex(HISTORY).retrieve("", 5)) == 3
