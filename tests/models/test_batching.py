"""A batch that memory does not hold is halved, and nothing but rounding changes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from prime_audit.errors import ModelError
from prime_audit.models import Batching, Example, LanguageModel, embed, generate, score_labels, score_tokens

Make = Callable[..., LanguageModel]
EXAMPLES = [Example(f"story number {i} " * (1 + i % 3), f"answer {i}") for i in range(12)]
TEXTS = [one.prompt for one in EXAMPLES]


def small_memory(lm: LanguageModel, rows: int) -> LanguageModel:
    """A model that has memory for so many rows at a time."""

    def refuse(module: torch.nn.Module, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if len(kwargs["input_ids"]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")

    base = lm.model.base_model
    base.register_forward_pre_hook(refuse, with_kwargs=True)
    return lm


def test_what_is_computed_in_halves_agrees(make_lm: Make) -> None:
    lm, small = make_lm(), small_memory(make_lm(), 4)
    whole, halves = score_tokens(lm, EXAMPLES), score_tokens(small, EXAMPLES)
    np.testing.assert_allclose(halves.logp, whole.logp, atol=1e-5)
    assert (lm.batching.halved, small.batching.halved) == (0, 3)
    np.testing.assert_allclose(embed(small, TEXTS), embed(lm, TEXTS), atol=1e-5)
    labels = ["red", "green"]
    np.testing.assert_allclose(score_labels(small, TEXTS, labels), score_labels(lm, TEXTS, labels), atol=1e-5)
    assert generate(small, TEXTS, max_new_tokens=4) == generate(lm, TEXTS, max_new_tokens=4)


def test_every_position_is_computed_once_and_in_order() -> None:
    batching = Batching()

    def run(batch: list[int]) -> list[int]:
        if len(batch) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return [-i for i in batch]

    found = list(batching.carry_out([[5, 4, 3, 2, 1], [0]], run))
    assert [i for batch, _ in found for i in batch] == [5, 4, 3, 2, 1, 0]
    assert all(result == [-i for i in batch] for batch, result in found)
    assert batching.halved == 2


def test_one_sequence_that_does_not_fit_is_an_error_with_a_way_out(make_lm: Make) -> None:
    with pytest.raises(ModelError, match="one sequence alone does not fit into memory") as caught:
        score_tokens(small_memory(make_lm(), 0), EXAMPLES)
    assert "max_tokens" in caught.value.hint


def test_other_errors_pass() -> None:
    def run(batch: list[int]) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(Batching().carry_out([[0, 1]], run))
