from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime_audit.config import NearestMethod, SimilarityMethod, TaskArithmeticMethod
from prime_audit.errors import DataError
from prime_audit.modules.dense import change
from prime_audit.personalize import METHODS, Personalisation, answers, averaging
from tests.personalize.small_modules import MODULES, SHAPES, SHARERS, small_context


def assert_is_the_merge(found: Personalisation) -> None:
    """The adapter is the sum of the sources' changes times the weights that the method reports."""
    assert found.adapter is not None
    for layer in SHAPES:
        pairs = zip(found.sources, found.weights, strict=True)
        expected = torch.stack([weight * change(MODULES[name], layer) for name, weight in pairs]).sum(dim=0)
        torch.testing.assert_close(change(found.adapter, layer), expected, atol=1e-4, rtol=1e-4)


def test_nearest_is_the_first_sharer_alone() -> None:
    found = averaging.nearest_sharer(small_context(), NearestMethod(scale=0.5))
    assert (found.sources, found.weights) == (("a",), (0.5,))
    assert_is_the_merge(found)


def test_similarity_is_a_softmax_over_the_temperature() -> None:
    found = averaging.similarity(small_context(), SimilarityMethod(temperature=0.5, scale=2.0))
    powers = [np.exp(1.8), np.exp(1.0), np.exp(-0.4)]
    assert found.weights == pytest.approx([2 * power / sum(powers) for power in powers])
    assert_is_the_merge(found)
    cold = averaging.similarity(small_context(), SimilarityMethod(temperature=1e-4))
    assert cold.weights == pytest.approx([1, 0, 0])


def test_task_arithmetic_adds_the_changes_up() -> None:
    found = averaging.task_arithmetic(small_context(), TaskArithmeticMethod(scale=0.3))
    assert found.weights == (0.3, 0.3, 0.3)
    assert found.notes == {"scale": 0.3}
    assert_is_the_merge(found)


class Planted:
    """Answers an item rightly if the scale of its row is one of those that are right for the item."""

    def __init__(self, right: dict[str, tuple[float, ...]]) -> None:
        self.right = right
        self.calls = 0

    def __call__(
        self,
        base: object,
        prompts: Sequence[str],
        *,
        adapters: Sequence[Any],
        weights: NDArray[np.float64],
        **decoding: object,
    ) -> list[str]:
        """Continues the prompts, greedily."""
        assert decoding["draws"] is None
        self.calls += 1
        assert weights.shape == (len(prompts), len(adapters)) == (len(prompts), len(SHARERS))
        assert (weights == weights[:, :1]).all()
        said = []
        for prompt, row in zip(prompts, weights, strict=True):
            number = next(n for n in self.right if f"text {n}" in prompt)
            said.append(f"answer {number}" if row[0] in self.right[number] else "wrong")
        return said


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ({"0": (0.3,), "1": (0.7,), "2": (0.7, 1.0), "3": (0.7,)}, 0.7),
        ({"0": (0.7, 0.5), "1": (), "2": (0.5, 0.7), "3": ()}, 0.5),
        ({"0": (), "1": (), "2": (), "3": ()}, 0.3),
    ],
    ids=["the best on the history", "a tie goes to the smaller scale", "no scale helps"],
)
def test_the_scale_is_chosen_on_the_history(
    monkeypatch: pytest.MonkeyPatch, right: dict[str, tuple[float, ...]], expected: float
) -> None:
    planted = Planted(right)
    monkeypatch.setattr(answers, "generate", planted)
    found = averaging.task_arithmetic(small_context(), TaskArithmeticMethod(grid=(1.0, 0.7, 0.5, 0.3)))
    assert found.notes["scale"] == expected
    assert found.weights == (expected,) * 3
    assert planted.calls == 1


def test_only_the_latest_items_choose_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = Planted({"0": (0.3,), "1": (0.3,), "2": (0.3,), "3": (1.0,)})
    monkeypatch.setattr(answers, "generate", planted)
    every = averaging.task_arithmetic(small_context(), TaskArithmeticMethod())
    last = averaging.task_arithmetic(small_context(), TaskArithmeticMethod(max_items=1))
    assert (every.notes["scale"], last.notes["scale"]) == (0.3, 1.0)


def test_without_a_history_no_scale_can_be_chosen() -> None:
    with pytest.raises(DataError, match="target t has no history"):
        averaging.task_arithmetic(small_context(history=0), TaskArithmeticMethod())


def test_all_merges_without_a_search_are_methods_about_the_sharers() -> None:
    for kind in ("nearest", "uniform", "task-arithmetic", "similarity", "ties", "dare"):
        assert (METHODS[kind].family, METHODS[kind].subject) == ("merging", "sharer")
    for kind in ("random-weights", "norm-matched", "rescaled"):
        assert (METHODS[kind].family, METHODS[kind].subject) == ("control", "sharer")
