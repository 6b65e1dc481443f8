from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from prime_audit.config import OptimiserName, PrimeMethod
from prime_audit.errors import ConfigError, IncompleteError
from prime_audit.personalize.search import (
    SearchEnd,
    SearchSettings,
    check_budget,
    default_population,
    minimise,
    population_of,
)
from prime_audit.personalize.search_log import Figures, SearchLog

Floats = NDArray[np.float64]
BEST = np.array([0.8, -0.2, 0.4])
CMA = SearchSettings(optimiser="cma", budget=140, population=None, sigma=0.3, bound=1.5, seed=1)


def distances(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.sum((candidates - BEST) ** 2, axis=1)
    return squares


def run(
    settings: SearchSettings, start: NDArray[np.float64] | None = None
) -> tuple[list[NDArray[np.float64]], SearchEnd]:
    seen: list[NDArray[np.float64]] = []

    def loss(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(candidates)
        return distances(candidates)

    return seen, minimise(loss, 3, settings, start)


def test_a_generation_is_asked_at_a_time_and_the_budget_is_kept() -> None:
    sizes = [len(generation) for generation in run(replace(CMA, budget=17))[0]]
    assert sizes == [7, 7, 3]


def test_population_is_the_usual_one() -> None:
    assert [default_population(d) for d in (1, 3, 20)] == [4, 7, 12]
    assert population_of("ngopt", None, 3) == 1
    assert population_of("ngopt", 5, 3) == 5


@pytest.mark.parametrize("optimiser", get_args(OptimiserName))
def test_every_optimiser_keeps_the_box_repeats_itself_and_gets_close(optimiser: OptimiserName) -> None:
    # With more NGOpt chooses a surrogate model, which nevergrad 1.0.12 cannot run with a recent numpy.
    budget = 60 if optimiser == "ngopt" else 210
    settings = replace(CMA, optimiser=optimiser, budget=budget)
    generations, end = run(settings)
    candidates = np.vstack(generations)
    assert len(candidates) == budget
    assert np.abs(candidates).max() <= 1.5
    # The origin is .92 away; 210 evenly spread points come within about a third.
    assert np.sqrt(distances(candidates)).min() < 0.35
    assert np.sqrt(distances(end.recommendation[None]))[0] < 0.4
    again, repeated = run(settings)
    assert np.array_equal(np.vstack(again), candidates)
    assert np.array_equal(repeated.recommendation, end.recommendation)


def test_cma_finds_the_optimum_of_a_convex_problem() -> None:
    generations, end = run(CMA)
    assert np.abs(np.vstack(generations) - BEST).max(axis=1).min() < 0.05
    assert end.population == 7


def test_the_search_starts_where_it_is_told() -> None:
    start = np.array([1.0, 1.0, -1.0])
    first = run(replace(CMA, sigma=0.01, budget=7), start)[0][0]
    assert np.abs(first - start).max() < 0.06


def test_ngopt_says_what_it_chose_and_asks_one_at_a_time() -> None:
    generations, end = run(replace(CMA, optimiser="ngopt", budget=30))
    assert {len(generation) for generation in generations} == {1}
    # Continuous, bounded, noiseless, one worker, budget under 200 per dimension.
    assert "Cobyla" in end.algorithm


def test_an_optimiser_that_the_library_cannot_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object) -> None:
        raise TypeError("only 0-dimensional arrays")

    monkeypatch.setattr("nevergrad.optimizers.base.Optimizer.ask", fails)
    with pytest.raises(ConfigError, match=r"NGOpt.* \(budget 30\) does not run with this numpy"):
        run(replace(CMA, optimiser="ngopt", budget=30))


def test_candidates_stay_in_the_box_and_spread_with_sigma() -> None:
    generations, _ = run(replace(CMA, bound=0.5, seed=2))
    assert np.abs(np.vstack(generations)).max() <= 0.5
    first = np.vstack([run(replace(CMA, seed=seed, budget=7))[0][0] for seed in range(40)])
    assert first.std() == pytest.approx(0.3, rel=0.15)


def test_the_official_preset_has_the_published_population_and_step() -> None:
    official = PrimeMethod.model_validate({"preset": "official"})
    assert (official.budget, official.alpha, official.space, official.starts) == (10, 0.1, "factor", ())
    assert population_of(official.optimiser, official.population, 3) == 7
    how = replace(CMA, budget=7, sigma=official.sigma)
    first = np.vstack([run(replace(how, seed=seed))[0][0] for seed in range(40)])
    assert first.std() == pytest.approx(0.15, rel=0.15)


def test_other_seeds_give_other_searches() -> None:
    assert not np.array_equal(np.vstack(run(CMA)[0]), np.vstack(run(replace(CMA, seed=4))[0]))


@pytest.mark.parametrize(
    ("budget", "starts", "needed"), [(5, 0, "at least 7"), (12, 6, "at least 13"), (10, 4, "at least 11")]
)
def test_a_budget_below_one_generation_is_refused(budget: int, starts: int, needed: str) -> None:
    with pytest.raises(ConfigError, match="one generation takes 7 evaluations") as caught:
        check_budget("cma", budget, None, 3, starts)
    assert needed in caught.value.hint
    check_budget("cma", 13, None, 3, 6)


def logged(log: SearchLog, settings: SearchSettings, stop_after: int | None = None) -> tuple[int, Floats]:
    """Searches with a log; returns how many points were measured, and the recommendation."""
    measured = 0

    def loss(candidates: Floats) -> Floats:
        def measure() -> list[Figures]:
            nonlocal measured
            if stop_after is not None and measured >= stop_after:
                raise KeyboardInterrupt
            measured += len(candidates)
            return [{"u": [value]} for value in distances(candidates).tolist()]

        return np.array([one["u"][0] for one in log.measured("search", candidates, measure)])

    end = minimise(loss, 3, settings)
    return measured, end.recommendation


@pytest.mark.parametrize("optimiser", get_args(OptimiserName))
def test_a_search_that_was_killed_goes_on_and_ends_alike(optimiser: OptimiserName, tmp_path: Path) -> None:
    settings = replace(CMA, optimiser=optimiser, budget=35)
    _, end = run(settings)
    with pytest.raises(KeyboardInterrupt):
        logged(SearchLog(tmp_path / "log"), settings, stop_after=14)
    measured, recommendation = logged(SearchLog(tmp_path / "log"), settings)
    assert measured == 35 - 14
    assert np.array_equal(recommendation, end.recommendation)
    assert logged(SearchLog(tmp_path / "log"), settings)[0] == 0


def test_a_record_of_another_search_is_noticed(tmp_path: Path) -> None:
    logged(SearchLog(tmp_path / "log"), CMA)
    with pytest.raises(IncompleteError, match="line 1: the search asks for other points"):
        logged(SearchLog(tmp_path / "log"), replace(CMA, seed=2))
    with pytest.raises(IncompleteError, match="line 1: the search asks for other points"):
        SearchLog(tmp_path / "log").measured("selection", np.zeros((7, 3)), list)


def test_a_damaged_record_costs_the_record_and_not_the_run(tmp_path: Path) -> None:
    logged(SearchLog(tmp_path / "log"), CMA)
    damaged = (tmp_path / "log").read_bytes().replace(b"search", b"hcraes", 1)
    (tmp_path / "log").write_bytes(damaged)
    with pytest.raises(IncompleteError, match=r"log: line 1 .* is damaged") as caught:
        SearchLog(tmp_path / "log")
    assert "delete this one file" in caught.value.hint
    assert "--fresh" not in caught.value.hint
