from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod, RacingConfig, Start
from prime_audit.data import Item
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule
from prime_audit.personalize import Personalisation, TargetContext, prime
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.objective import Evaluation
from prime_audit.personalize.racing import race
from prime_audit.personalize.starts import most_starts, start_points

BEST = np.array([0.9, 0.0, -0.3])
SHARERS = ("a", "b", "c")
MakeContext = Callable[..., TargetContext]


class Planted:
    """An objective whose utility is known: one minus the squared distance from ``BEST``, plus item noise."""

    selection_likes_the_base = False
    noise = 0.0

    def __init__(
        self,
        context: TargetContext,
        mixture: Mixture | None,
        settings: PrimeMethod | None,
        items: Sequence[Item],
        part: str,
    ) -> None:
        self._part = part
        self.size = len(items)
        self.measured = 0

    def evaluate(
        self, candidates: NDArray[np.float64], chosen: NDArray[np.intp] | None = None
    ) -> list[Evaluation]:
        """Evaluates candidates."""
        places = np.arange(self.size) if chosen is None else chosen
        self.measured += len(places) * len(candidates)
        difficulty = self.noise * np.sin(np.arange(self.size))[places]
        penalty = np.full(len(places), 0.5)
        return [
            Evaluation(row, self._utility(row) + difficulty, penalty, self._part, len(places))
            for row in candidates
        ]

    def _utility(self, row: NDArray[np.float64]) -> float:
        if self._part == "selection" and self.selection_likes_the_base:
            return 1 - float(np.sum(row**2))
        return 1 - float(np.sum((row - BEST) ** 2))


class SelectionLikesTheBase(Planted):
    selection_likes_the_base = True


def run(
    monkeypatch: pytest.MonkeyPatch,
    make_context: MakeContext,
    objective: type[Planted],
    items: int = 10,
    **settings: object,
) -> Personalisation:
    monkeypatch.setattr(prime, "Objective", objective)
    method = PrimeMethod.model_validate({"budget": 111, **settings})
    return prime.prime(make_context(items=items), method)


def test_the_planted_weights_are_found_and_every_evaluation_is_kept(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, Planted)
    assert not found.reverted
    assert np.abs(np.array(found.weights) - BEST).max() < 0.15
    assert found.sources == SHARERS
    # The budget with its start points (base, three sharers, 1/N, similarity); then base and six finalists.
    parts = [point.part for point in found.points]
    assert parts.count("search") == 111
    assert [point.weights for point in found.points[:4]] == [
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 0.0, 1.0),
    ]
    assert found.points[4].weights == pytest.approx((1 / 3,) * 3)
    # softmax([.3, .1, -.2] / .1)
    assert found.points[5].weights == pytest.approx((0.8756, 0.1185, 0.0059), abs=1e-4)
    assert parts.count("selection") == 1 + prime.FINALISTS
    assert found.chosen is not None
    assert found.points[found.chosen].weights == found.weights
    assert found.points[found.chosen].part == "selection"


def test_the_search_starts_from_the_best_start_point(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, Planted, sigma=0.001, budget=13)
    # (1, 0, 0) is nearest to the planted optimum.
    assert np.abs(np.array([p.weights for p in found.points[6:13]]) - [1, 0, 0]).max() < 0.01


def test_what_is_deployed_is_the_best_finalist_and_never_worse_than_the_base_there(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, Planted)
    assert found.chosen is not None
    selection = [point for point in found.points if point.part == "selection"]
    assert found.points[found.chosen].utility == max(point.utility for point in selection)
    base = next(point for point in selection if not any(point.weights))
    assert found.points[found.chosen].utility > base.utility


def test_it_falls_back_where_the_base_is_best_on_the_selection_part(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, SelectionLikesTheBase)
    assert found.reverted
    assert found.weights == ()
    assert found.adapter is None
    assert "no candidate beat the base" in found.reason
    assert found.points


def test_the_margin_must_be_beaten(monkeypatch: pytest.MonkeyPatch, make_context: MakeContext) -> None:
    assert not run(monkeypatch, make_context, Planted, margin=0.5).reverted
    assert run(monkeypatch, make_context, Planted, margin=0.95).reverted


def test_the_gain_is_paired_over_items() -> None:
    weights, nothing = np.ones(1), np.zeros(4)
    base = Evaluation(weights, np.array([0.1, 0.9, 0.3, 0.5]), nothing, "selection", 4)
    better = Evaluation(weights, np.array([0.2, 1.0, 0.4, 0.8]), nothing, "selection", 4)
    gain, error = prime.paired_gain(better, base, alpha=0.1)
    # Differences .1 .1 .1 .3: mean .15, standard deviation .1, over the square root of 4.
    assert gain == pytest.approx(0.15)
    assert error == pytest.approx(0.05)
    one = Evaluation(weights, np.array([0.4]), np.array([0.2]), "selection", 4)
    gain, error = prime.paired_gain(one, Evaluation(weights, np.array([0.1]), np.zeros(1), "s", 4), alpha=0.5)
    assert [gain, error] == pytest.approx([0.2, 0.0])


def test_a_gain_within_its_error_is_no_gain(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    class Unsure(Planted):
        def evaluate(
            self, candidates: NDArray[np.float64], chosen: NDArray[np.intp] | None = None
        ) -> list[Evaluation]:
            """Every candidate but the base wins much on one item and loses a little on the others."""
            gain = np.full(self.size, -0.05)
            gain[0] = 0.3
            return [
                Evaluation(row, gain * bool(row.any()), np.zeros(self.size), self._part, self.size)
                for row in candidates
            ]

    # Gain .0375 with standard error .0875 over four selection items.
    assert run(monkeypatch, make_context, Unsure, alpha=0.0).reverted
    assert not run(monkeypatch, make_context, Unsure, alpha=0.0, margin_errors=0.2).reverted


def test_a_history_too_short_to_split_is_not_searched(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, Planted, items=3)
    assert found.reverted
    assert "too short" in found.reason


def test_a_budget_that_the_start_points_use_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    with pytest.raises(ConfigError, match="after 6 start points") as caught:
        run(monkeypatch, make_context, Planted, budget=12)
    assert "at least 13" in caught.value.hint


@pytest.mark.parametrize("sharers", [1, 2, 3])
@pytest.mark.parametrize(
    "names",
    [
        ("base", "sharers", "uniform", "similarity"),
        ("similarity", "uniform"),
        ("sharers", "similarity"),
        ("base",),
        ("uniform",),
        (),
    ],
)
def test_start_points_are_counted_before_anything_is_trained(
    make_context: MakeContext, modules: dict[str, LoraModule], names: tuple[Start, ...], sharers: int
) -> None:
    few = SHARERS[:sharers]
    context = replace(make_context(), sharers=few)
    mixture = Mixture([modules[name] for name in few], "exact", per_layer=False)
    assert most_starts(names, sharers) == len(start_points(names, mixture, context, 1.5))


@pytest.mark.parametrize(("items", "fraction", "expected"), [(10, 0.4, 4), (5, 0.4, 2), (20, 0.25, 5)])
def test_the_history_is_split_without_overlap(
    make_context: MakeContext, items: int, fraction: float, expected: int
) -> None:
    method = PrimeMethod.model_validate({"selection_fraction": fraction})
    searched, held_out = prime.split_history(make_context(items=items), method)
    assert len(held_out) == expected
    assert {item.id for item in searched} | {item.id for item in held_out} == {str(i) for i in range(items)}
    assert len(searched) + len(held_out) == items


def test_only_the_latest_items_are_used(make_context: MakeContext) -> None:
    method = PrimeMethod.model_validate({"max_items": 6})
    searched, held_out = prime.split_history(make_context(items=10), method)
    assert sorted(int(item.id) for item in (*searched, *held_out)) == [4, 5, 6, 7, 8, 9]


def test_the_official_preset_deploys_the_recommendation_of_its_first_generation(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    found = run(monkeypatch, make_context, Planted, preset="official", budget=10)
    searched = found.points[:10]
    # CMA knows the seven points of its one whole generation alone: the last three cannot be recommended.
    best = max(searched[:7], key=lambda point: point.utility)
    assert found.chosen is not None
    assert found.points[found.chosen].weights == pytest.approx(best.weights)
    # Factor space holds a sharer's own product with the weight squared.
    assert found.weights == pytest.approx(tuple(w**2 for w in best.weights))


def test_the_official_preset_reverts_only_where_the_base_beats_every_evaluated_point(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    class BaseIsBest(Planted):
        def _utility(self, row: NDArray[np.float64]) -> float:
            return 1 - float(np.sum(row**2))

    found = run(monkeypatch, make_context, BaseIsBest, preset="official", budget=10)
    assert found.reverted
    assert "beat every evaluated candidate" in found.reason


def test_racing_drops_hopeless_candidates_and_keeps_the_winner(
    monkeypatch: pytest.MonkeyPatch, make_context: MakeContext
) -> None:
    class Noisy(Planted):
        noise = 0.3

    found = run(monkeypatch, make_context, Noisy, items=30, racing={"blocks": 3})
    assert not found.reverted
    assert np.abs(np.array(found.weights) - BEST).max() < 0.2
    raced_out = [point for point in found.points if point.part == "search" and point.items < 18]
    assert len(raced_out) == found.notes["dropped_by_racing"]
    assert raced_out
    assert all(point.items in (6, 12) for point in raced_out)


def test_a_race_compares_on_the_items_that_both_have_seen(make_context: MakeContext) -> None:
    objective: Any = Planted(make_context(), None, None, [Item("", "", "")] * 9, "search")
    order = np.arange(9)[::-1]
    (incumbent,) = objective.evaluate(np.array([[0.9, 0.0, -0.2]]), order)
    objective.measured = 0
    candidates = np.array([[0.9, 0.0, -0.3], [0.0, 0.0, 0.0]])
    kept, dropped = race(objective, candidates, incumbent, RacingConfig(blocks=3, errors=2.0), order, 0.1)
    assert (kept.items, dropped.items) == (9, 3)
    assert objective.measured == 12
    nobody = race(objective, candidates, None, RacingConfig(blocks=3, errors=2.0), order, 0.1)
    assert [one.items for one in nobody] == [9, 9]
