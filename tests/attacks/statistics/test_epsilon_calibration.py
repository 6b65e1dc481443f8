"""How often lower bounds on epsilon lie above the truth: seldom enough, whatever chooses the threshold."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from attacks.arrays import FloatArray
from attacks.statistics import (
    CoinFlips,
    EpsilonBound,
    Guesses,
    GuessGrid,
    Split,
    epsilon_f_dp,
    epsilon_from_scores_of_independent_runs,
    epsilon_one_run,
    gaussian_epsilon,
    one_run_p_value,
)
from attacks.statistics.f_dp import f_dp_refutes

CANARIES = 1000
DIGEST = "0" * 64
RUNS = [str(place) for place in range(CANARIES)]
DRAWS = [pytest.param(50), pytest.param(1000, marks=pytest.mark.long)]
Bound = Callable[[FloatArray, CoinFlips, float], EpsilonBound]


def one_run(plan: Guesses | GuessGrid | Split) -> Bound:
    return lambda scores, flips, delta: epsilon_one_run(scores, flips, plan, unit="example", delta=delta)


def f_dp(plan: Guesses | GuessGrid | Split) -> Bound:
    return lambda scores, flips, delta: epsilon_f_dp(scores, flips, plan, unit="example", delta=delta)


def many_runs(threshold: float | list[float] | Split) -> Bound:
    return lambda scores, flips, delta: epsilon_from_scores_of_independent_runs(
        scores, flips.inclusion, RUNS, threshold, unit="example", delta=delta
    )


BOUNDS = {
    "one run, registered": one_run(Guesses(100, 100)),
    "one run, top alone": one_run(Guesses(100)),
    "one run, all": one_run(Guesses(500, 500)),
    "one run, grid": one_run(GuessGrid()),
    "one run, split": one_run(Split()),
    "f-DP, registered": f_dp(Guesses(100, 100)),
    "f-DP, top alone": f_dp(Guesses(100)),
    "f-DP, all": f_dp(Guesses(500, 500)),
    "f-DP, grid": f_dp(GuessGrid()),
    "f-DP, split": f_dp(Split()),
    "many runs, registered": many_runs(1.0),
    "many runs, grid": many_runs([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),
    "many runs, split": many_runs(Split()),
}


def draw(rng: np.random.Generator, mu: float) -> tuple[FloatArray, CoinFlips]:
    """Canaries under the Gaussian mechanism; mu = 0 tells nothing about them."""
    flips = CoinFlips(rng.integers(0, 2, CANARIES) == 1, DIGEST)
    return rng.normal(0, 1, CANARIES) + mu * flips.inclusion, flips


def exceeded(bound: Bound, rng: np.random.Generator, draws: int, mu: float, delta: float) -> int:
    truth = gaussian_epsilon(mu, delta)
    count = 0
    for _ in range(draws):
        value = bound(*draw(rng, mu), delta).value
        assert value is not None
        count += value > truth
    return count


@pytest.mark.timeout(900)
@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_is_found_where_nothing_is(name: str, draws: int) -> None:
    rng = np.random.default_rng([20260501, list(BOUNDS).index(name)])
    assert exceeded(BOUNDS[name], rng, draws, 0.0, 1e-6) <= (73 if draws == 1000 else 9)


@pytest.mark.parametrize(("canaries", "guesses"), [(20, 20), (200, 160), (1000, 200), (1000, 1000)])
def test_the_exact_chance_of_finding_what_is_not_there(canaries: int, guesses: int) -> None:
    # Without a leak every guess is a fair coin: no draws are needed for a number fixed beforehand.
    rules: dict[str, Callable[[int], bool]] = {
        "one run": lambda correct: one_run_p_value(canaries, guesses, correct, 0.0, 1e-6) <= 0.05,
        "f-DP": lambda correct: f_dp_refutes(canaries, guesses, correct, 0.0, 0.05),
    }
    for refutes in rules.values():
        fewest = next(correct for correct in range(guesses + 1) if refutes(correct))
        assert 0.02 < binom.sf(fewest - 1, guesses, 0.5) <= 0.05


@pytest.mark.timeout(900)
@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("grain", [1.0, 3.0])
@pytest.mark.parametrize("name", ["one run, all", "f-DP, grid", "many runs, split"])
def test_coarse_scores_find_nothing_either(name: str, grain: float, draws: int) -> None:
    rng = np.random.default_rng([20260502, list(BOUNDS).index(name), int(grain)])
    count = 0
    for _ in range(draws):
        scores, flips = draw(rng, 0.0)
        value = BOUNDS[name](np.round(scores / grain), flips, 1e-6).value
        count += value is not None and value > 0
    assert count <= (73 if draws == 1000 else 9)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("mu", [0.3, 1.0])
@pytest.mark.parametrize("name", BOUNDS)
def test_the_gaussian_mechanism_is_bounded_from_below(name: str, mu: float, draws: int) -> None:
    # A large delta: there the bound of many runs is tight, at delta = 1e-6 all lie far below.
    rng = np.random.default_rng([20260503, list(BOUNDS).index(name), int(10 * mu)])
    assert exceeded(BOUNDS[name], rng, draws, mu, 0.05) <= (70 if draws == 1000 else 9)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("draws", DRAWS)
def test_many_runs_at_the_tightest_threshold(draws: int) -> None:
    # At epsilon / mu + mu / 2 tpr - e^epsilon fpr is delta itself, so that only chance keeps the bound below.
    mu, delta = 1.0, 0.05
    bound = many_runs(gaussian_epsilon(mu, delta) / mu + mu / 2)
    assert exceeded(bound, np.random.default_rng(20260504), draws, mu, delta) <= (70 if draws == 1000 else 9)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("draws", [pytest.param(200), pytest.param(1000, marks=pytest.mark.long)])
def test_randomised_response_is_bounded_at_its_level(draws: int) -> None:
    # The mechanism for which the one-run bound is exact: it errs about as often as it may, neither more nor
    # far less.
    rng = np.random.default_rng(20260505)
    epsilon, count = 1.0, 0
    chance = 1 / (1 + math.exp(-epsilon))
    for _ in range(draws):
        flips = CoinFlips(rng.integers(0, 2, CANARIES) == 1, DIGEST)
        kept = rng.random(CANARIES) < chance
        answers = np.where(kept, flips.inclusion, ~flips.inclusion).astype(np.float64)
        right = int((answers == flips.inclusion).sum())
        # As many guesses "in" as there are such answers, so that ties split no group.
        top = int(answers.sum())
        found = epsilon_one_run(answers, flips, Guesses(top, CANARIES - top), unit="example")
        assert found.value is not None
        count += found.value > epsilon
        assert (found.value > epsilon) == (binom.sf(right - 1, CANARIES, chance) < 0.05)
    assert (0.02 * draws if draws == 200 else 0.03 * draws) <= count <= (19 if draws == 200 else 70)
