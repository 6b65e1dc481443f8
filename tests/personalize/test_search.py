import numpy as np
import pytest
from numpy.typing import NDArray

from prime_audit.errors import ConfigError
from prime_audit.personalize.search import default_population, minimise


def run(seed: int, budget: int = 140, bound: float = 1.5) -> list[NDArray[np.float64]]:
    best = np.array([0.8, -0.2, 0.4])
    seen: list[NDArray[np.float64]] = []

    def loss(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(candidates)
        distances: NDArray[np.float64] = np.sum((candidates - best) ** 2, axis=1)
        return distances

    minimise(loss, 3, budget=budget, population=None, sigma=0.3, bound=bound, seed=seed)
    return seen


def test_a_generation_is_asked_at_a_time_and_the_budget_is_kept() -> None:
    sizes = [len(generation) for generation in run(1, budget=17)]
    assert sizes == [7, 7, 3]


def test_population_is_the_usual_one() -> None:
    assert [default_population(d) for d in (1, 3, 20)] == [4, 7, 12]


def test_the_search_finds_the_optimum_of_a_convex_problem() -> None:
    candidates = np.vstack(run(1))
    distance = np.abs(candidates - [0.8, -0.2, 0.4]).max(axis=1)
    assert distance.min() < 0.05


def test_candidates_stay_in_the_box_and_spread_with_sigma() -> None:
    generations = run(2, bound=0.5)
    assert np.abs(np.vstack(generations)).max() <= 0.5
    first = np.vstack([run(seed, budget=7)[0] for seed in range(40)])
    assert first.std() == pytest.approx(0.3, rel=0.15)


def test_equal_seeds_give_equal_searches_and_others_do_not() -> None:
    assert np.array_equal(np.vstack(run(3)), np.vstack(run(3)))
    assert not np.array_equal(np.vstack(run(3)), np.vstack(run(4)))


def test_a_budget_below_one_generation_is_refused() -> None:
    with pytest.raises(ConfigError, match="one generation takes 7 evaluations"):
        run(1, budget=5)
