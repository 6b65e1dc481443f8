from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod
from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, User
from prime_audit.personalize import Personalisation, SearchPoint, TargetContext, prime

BEST = np.array([0.9, 0.0, -0.3])
SHARERS = ("a", "b", "c")


class Planted:
    """An objective whose utility is known: one minus the squared distance from ``BEST``."""

    selection_likes_the_base = False

    def __init__(self, context: TargetContext, bank: object, items: Sequence[Item], part: str) -> None:
        self._part = part

    def points(self, candidates: NDArray[np.float64]) -> list[SearchPoint]:
        """Evaluates candidates."""
        return [SearchPoint(tuple(row.tolist()), self._utility(row), 0.5, self._part) for row in candidates]

    def _utility(self, row: NDArray[np.float64]) -> float:
        if self._part == "selection" and self.selection_likes_the_base:
            return 1 - float(np.sum(row**2))
        return 1 - float(np.sum((row - BEST) ** 2))


class SelectionLikesTheBase(Planted):
    selection_likes_the_base = True


def context(items: int = 10) -> TargetContext:
    history = tuple(Item(str(i), f"text {i}", f"answer {i}") for i in range(items))
    target = User("t", "target", history, ())
    # Neither the model nor a module is read: the objective is planted.
    unread: Any = object()
    return TargetContext(
        TASKS["lamp-4"], target, base=unread, seeds=Seeds(1), sharers=SHARERS, module=lambda user: unread
    )


def run(
    monkeypatch: pytest.MonkeyPatch, objective: type[Planted], items: int = 10, **settings: object
) -> Personalisation:
    monkeypatch.setattr(prime, "Objective", objective)
    monkeypatch.setattr(prime, "AdapterBank", lambda modules: None)
    monkeypatch.setattr(prime, "export", lambda modules, weights: None)
    method = PrimeMethod.model_validate({"kind": "prime", "budget": 105, **settings})
    return prime.prime(context(items), method)


def test_the_planted_weights_are_found_and_every_evaluation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, Planted)
    assert not found.reverted
    assert np.abs(np.array(found.weights) - BEST).max() < 0.15
    assert found.sources == SHARERS
    # Base, three sharers, 1/N and all ones, then the budget; base and six finalists on the other part.
    parts = [point.part for point in found.points]
    assert parts.count("search") == 6 + 105
    assert parts.count("selection") == 1 + prime.FINALISTS
    assert found.chosen is not None
    assert found.points[found.chosen].weights == found.weights
    assert found.points[found.chosen].part == "selection"


def test_what_is_deployed_is_the_best_finalist_on_the_selection_part(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, Planted)
    assert found.chosen is not None
    selection = [point for point in found.points if point.part == "selection"]
    assert found.points[found.chosen].utility == max(point.utility for point in selection)


def test_it_falls_back_where_the_base_is_best_on_the_selection_part(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, SelectionLikesTheBase)
    assert found.reverted
    assert found.weights == ()
    assert found.adapter is None
    assert "no candidate beat the base" in found.reason
    assert found.points


def test_the_margin_must_be_beaten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run(monkeypatch, Planted, margin=0.5).reverted
    assert run(monkeypatch, Planted, margin=0.95).reverted


def test_a_history_too_short_to_split_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, Planted, items=3)
    assert found.reverted
    assert "too short" in found.reason


@pytest.mark.parametrize(("items", "fraction", "expected"), [(10, 0.4, 4), (5, 0.4, 2), (20, 0.25, 5)])
def test_the_history_is_split_without_overlap(items: int, fraction: float, expected: int) -> None:
    method = PrimeMethod.model_validate({"kind": "prime", "selection_fraction": fraction})
    searched, held_out = prime.split_history(context(items), method)
    assert len(held_out) == expected
    assert {item.id for item in searched} | {item.id for item in held_out} == {str(i) for i in range(items)}
    assert len(searched) + len(held_out) == items


def test_only_the_latest_items_are_used() -> None:
    method = PrimeMethod.model_validate({"kind": "prime", "max_items": 6})
    searched, held_out = prime.split_history(context(10), method)
    assert sorted(int(item.id) for item in (*searched, *held_out)) == [4, 5, 6, 7, 8, 9]
