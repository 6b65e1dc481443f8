from typing import Literal

import numpy as np
import pytest

from prime_audit.data import Task
from prime_audit.models import LanguageModel, generate, predict, score_labels


def _task(kind: Literal["choice", "number", "text"], labels: tuple[str, ...] = ()) -> Task:
    return Task(
        id="t",
        title="t",
        kind=kind,
        instruction="",
        input_name="in",
        answer_name="out",
        labels=labels,
        metric="accuracy",
        max_new_tokens=5,
        query_marker=None,
    )


@pytest.mark.parametrize("kind", ["choice", "number"])
def test_labels_are_chosen_by_score(lm: LanguageModel, kind: Literal["choice", "number"]) -> None:
    labels = ("1", "2", "3")
    prompts = ["a:", "b:", "something:"]
    best = score_labels(lm, prompts, labels).argmax(axis=1)
    assert predict(lm, _task(kind, labels), prompts) == [labels[i] for i in best]


def test_text_is_decoded(lm: LanguageModel) -> None:
    expected = [text.strip() for text in generate(lm, ["a:", "bc:"], max_new_tokens=5)]
    assert predict(lm, _task("text"), ["a:", "bc:"]) == expected


def test_adapters_and_weights_belong_together(lm: LanguageModel) -> None:
    with pytest.raises(ValueError, match="belong together"):
        predict(lm, _task("text"), ["a"], weights=np.ones((1, 1)))
