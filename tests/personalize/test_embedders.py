import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from prime_audit.config import ModelConfig
from prime_audit.data import TASKS, Item
from prime_audit.errors import DataError
from prime_audit.models import embed, load_model, load_sentence_encoder, read_sentence_folder
from prime_audit.personalize import base_embedder, sentence_embedder, tfidf_embedder
from tests.sentence_folder import write_sentence_folder


def items(*texts: tuple[str, str]) -> tuple[Item, ...]:
    return tuple(Item(str(i), text, answer) for i, (text, answer) in enumerate(texts))


ANNA = items(("the cat sat", "5"), ("the dog ran", "4"))
BEN = items(("a cat ran far", "5"))


def test_tfidf_on_numbers() -> None:
    # Two documents, "x y" and "x z": idf(x) = ln(3/3) + 1 = 1, idf(y) = idf(z) = ln(3/2) + 1.
    vector = tfidf_embedder([items(("x", "y"), ("x", "z"))])(items(("y", "unseen"), ("x", "y")))
    rare = np.log(1.5) + 1
    length = np.hypot(1, rare)
    np.testing.assert_allclose(vector, [0.5 / length, 0.5 + 0.5 * rare / length, 0])


def test_tfidf_is_the_mean_of_scikit_learns_vectors() -> None:
    texts = [f"{i.input}\n{i.answer}" for i in (*ANNA, *BEN)]
    vectors = (
        TfidfVectorizer(tokenizer=re.compile(r"\w+").findall, token_pattern=None)
        .fit_transform(texts)
        .toarray()
    )
    embedder = tfidf_embedder([ANNA, BEN])
    np.testing.assert_allclose(embedder(ANNA), vectors[:2].mean(axis=0))
    np.testing.assert_allclose(embedder(BEN), vectors[2])
    np.testing.assert_array_equal(embedder(ANNA), tfidf_embedder([ANNA, BEN])(ANNA))


def test_tfidf_without_a_word_is_refused() -> None:
    with pytest.raises(DataError, match="tfidf"):
        tfidf_embedder([items(("!!!", "..."))])


def test_a_sentence_encoder_averages_the_items(tmp_path: Path) -> None:
    folder = read_sentence_folder(write_sentence_folder(tmp_path))
    encoder = load_sentence_encoder(folder, torch.device("cpu"))
    expected = encoder.embed(["the cat sat\n5", "the dog ran\n4"]).mean(axis=0)
    np.testing.assert_allclose(sentence_embedder(encoder)(ANNA), expected)


def test_the_base_reads_the_tasks_prompt(tmp_path: Path) -> None:
    tiny = load_model(ModelConfig(device="cpu", dtype="float32"), tmp_path)
    task = TASKS["lamp-3"]
    texts = [task.prompt(item.input) + task.completion(item.answer or "") for item in ANNA]
    np.testing.assert_allclose(base_embedder(tiny, task)(ANNA), embed(tiny, texts).mean(axis=0))
