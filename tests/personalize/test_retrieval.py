from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prime_audit.config import InContextMethod, RagMethod
from prime_audit.data import Item, User
from prime_audit.errors import ConfigError
from prime_audit.models import embed, load_sentence_encoder, read_sentence_folder
from prime_audit.personalize import METHODS, TargetContext, carry_out
from prime_audit.personalize.retrieval import HistoryIndex, Retriever
from tests.sentence_folder import write_sentence_folder

HISTORY = (
    Item("1", "the harbour of the old town", "ships", "2012"),
    Item("2", "a long winter in the mountains", "snow", "2014"),
    Item("3", "ships leave the harbour at dawn", "dawn", "2013"),
)
Make = Callable[..., TargetContext]


@pytest.fixture
def context(make_context: Make) -> TargetContext:
    return replace(make_context(), target=User("t", "target", HISTORY, ()))


def found(context: TargetContext, query: Item, **settings: object) -> list[str]:
    asked = RagMethod.model_validate({"id": "rag", **settings})
    return [item.id for item in Retriever(context, asked, context.target.history).retrieve(query)]


def query(text: str, date: str | None = None, name: str = "q") -> Item:
    return Item(name, text, None, date)


def test_the_best_item_stands_last(context: TargetContext) -> None:
    assert found(context, query("harbour dawn"), k=2) == ["1", "3"]


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


def test_a_query_without_known_words_takes_the_first_items(context: TargetContext) -> None:
    assert found(context, query("zebra"), k=2) == ["2", "1"]
    assert len(found(context, query(""), k=5)) == 3


def test_recency_goes_by_date(context: TargetContext) -> None:
    assert found(context, query("harbour"), retriever="recency", k=2) == ["3", "2"]


def test_random_is_drawn_per_query_and_again_the_same(context: TargetContext) -> None:
    drawn = {name: found(context, query("x", name=name), retriever="random", k=1) for name in "abcdefghij"}
    assert drawn == {
        name: found(context, query("y", name=name), retriever="random", k=1) for name in "abcdefghij"
    }
    assert len({one[0] for one in drawn.values()}) > 1


def test_dense_takes_the_nearest_by_the_base(context: TargetContext) -> None:
    vectors = embed(context.base, [f"{item.input} {item.answer}" for item in HISTORY])
    asked = embed(context.base, ["ships at dawn"])[0]
    centre = vectors.mean(axis=0)
    cosines = [
        (v - centre) @ (asked - centre) / np.linalg.norm(v - centre) / np.linalg.norm(asked - centre)
        for v in vectors
    ]
    best = [HISTORY[i].id for i in np.argsort(cosines)]
    assert found(context, query("ships at dawn"), retriever="dense", k=3) == best


def test_dense_by_a_sentence_transformers_folder(context: TargetContext, tmp_path: Path) -> None:
    folder = read_sentence_folder(write_sentence_folder(tmp_path))
    encoder = load_sentence_encoder(folder, torch.device("cpu"))
    given = replace(context, encoders=lambda path: encoder.embed)
    vectors = encoder.embed([f"{item.input} {item.answer}" for item in HISTORY])
    asked = encoder.embed(["a story"])[0]
    cosines = [v @ asked / np.linalg.norm(v) for v in vectors]
    best = [HISTORY[i].id for i in np.argsort(cosines)]
    assert found(given, query("a story"), retriever="dense", encoder=str(tmp_path), k=3) == best


@pytest.mark.parametrize("retriever", ["bm25", "recency", "random", "dense"])
def test_nothing_retrieves_the_item_itself_or_a_later_one(context: TargetContext, retriever: str) -> None:
    own = query("a long winter in the mountains", "2013", name="1")
    assert found(context, own, retriever=retriever, k=3) == ["3"]


def test_examples_come_from_public_users_alone(context: TargetContext) -> None:
    public = (Item("p1", "a public text", "said in public"), Item("p2", "another", "said too"))
    method, settings = METHODS["in-context"], InContextMethod(k=2)
    made = carry_out(method, replace(context, public=public), settings)
    prompt = made.prompt(query("what is new"))
    assert all(text in prompt for item in public for text in (item.input, item.answer or ""))
    assert not [item for item in HISTORY if item.input in prompt]
    assert made.kept == made.private == ()
    with pytest.raises(ConfigError, match="in-context shows items of public users"):
        carry_out(method, context, settings)
