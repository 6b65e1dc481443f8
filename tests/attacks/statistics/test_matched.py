"""Rates of two models on the same samples: the table, exact intervals and McNemar's test."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from attacks.statistics import chance_p, clopper_pearson, matched_rates, success_rate

LONG = 2000


def flags(both: int, only_model: int, only_base: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    model = [True] * (both + only_model) + [False] * (only_base + neither)
    base = [True] * both + [False] * only_model + [True] * only_base + [False] * neither
    return np.array(model, dtype=bool), np.array(base, dtype=bool)


class TestTable:
    def test_every_sample_is_in_it(self) -> None:
        found = matched_rates(*flags(3, 9, 1, 7))
        assert (found.both, found.only_model, found.only_base, found.neither) == (3, 9, 1, 7)
        assert (found.model.value, found.base.value, found.difference.value) == (0.6, 0.2, 0.4)
        assert found.model.interval == clopper_pearson(12, 20)
        assert found.base.interval == clopper_pearson(4, 20)
        # McNemar: 9 or more of the 10 discordant samples.
        assert found.p == pytest.approx(binomtest(9, 10, 0.5, alternative="greater").pvalue)

    def test_exchanging_the_models_turns_the_difference_over(self) -> None:
        one, other = flags(3, 9, 1, 7)
        first, second = matched_rates(one, other).difference, matched_rates(other, one).difference
        assert first.value == -(second.value or 0)
        assert first.interval is not None
        assert second.interval is not None
        assert first.interval.low == pytest.approx(-second.interval.high)

    @pytest.mark.parametrize("both", [0, 20])
    def test_models_that_agree_everywhere_still_leave_room_for_a_difference(self, both: int) -> None:
        found = matched_rates(*flags(both, 0, 0, 20 - both))
        assert (found.difference.value, found.p) == (0.0, 1.0)
        assert found.difference.interval is not None
        limit = clopper_pearson(0, 20).high
        assert found.difference.interval.low == pytest.approx(-limit)
        assert found.difference.interval.high == pytest.approx(limit)

    def test_all_against_none(self) -> None:
        found = matched_rates(*flags(0, 20, 0, 0))
        assert (found.difference.value, found.p) == (1.0, 0.5**20)
        assert found.difference.interval is not None
        assert found.difference.interval.high == 1
        assert found.difference.interval.low < 0.84

    def test_without_samples_nothing_is_stated(self) -> None:
        found = matched_rates(np.zeros(0), np.zeros(0), unit="secrets")
        assert found.difference.value is found.model.value is found.base.value is found.p is None
        assert found.difference.reason == "undefined: there are no secrets"

    def test_wrong_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cannot be matched"):
            matched_rates(np.ones(2), np.ones(3))
        for wrong in ([2.0], [np.nan], [-0.1]):
            with pytest.raises(ValueError, match="between 0 and 1"):
                success_rate(np.array(wrong))


class TestSharedSuccesses:
    def test_the_cells_still_sum_to_the_samples(self) -> None:
        rng = np.random.default_rng(0)
        model, base = rng.choice([0, 0.25, 0.5, 1], 30), rng.choice([0, 0.5, 1], 30)
        found = matched_rates(model, base)
        cells = (found.both, found.only_model, found.only_base, found.neither)
        assert sum(cells) == pytest.approx(30)
        assert min(cells) >= 0
        assert found.difference.value == pytest.approx(model.mean() - base.mean())

    def test_a_fraction_of_a_success_lies_between_its_neighbours(self) -> None:
        lows = [clopper_pearson(count, 20).low for count in (3, 3.5, 4)]
        highs = [clopper_pearson(count, 20).high for count in (3, 3.5, 4)]
        assert sorted(lows) == lows
        assert sorted(highs) == highs


class TestChance:
    def test_it_is_the_binomial_tail(self) -> None:
        successes = np.arange(30) < 7
        assert chance_p(successes, 0.1) == pytest.approx(binomtest(7, 30, 0.1, alternative="greater").pvalue)
        assert chance_p(np.zeros(5), 0.1) == 1
        assert chance_p(np.zeros(0), 0.1) is None


# Samples and the chances of: both, the audited model alone, the base alone, neither.
PANELS = [
    (20, (0.3, 0.3, 0.05, 0.35)),
    (50, (0.05, 0.1, 0.02, 0.83)),
    (50, (0.0, 0.6, 0.0, 0.4)),
    (100, (0.3, 0.3, 0.05, 0.35)),
    (100, (0.1, 0.0, 0.0, 0.9)),
    (200, (0.1, 0.2, 0.1, 0.6)),
]


def calibration(rng: np.random.Generator, repetitions: int, count: int, chances: tuple[float, ...]) -> int:
    held = 0
    for cells in rng.multinomial(count, chances, repetitions):
        interval = matched_rates(*flags(*map(int, cells))).difference.interval
        assert interval is not None
        held += interval.low - 1e-12 <= chances[1] - chances[2] <= interval.high + 1e-12
    return held


@pytest.mark.parametrize(("count", "chances"), PANELS)
def test_the_interval_of_the_difference_covers(count: int, chances: tuple[float, ...]) -> None:
    rng = np.random.default_rng([20260308, count, *(int(100 * chance) for chance in chances)])
    assert calibration(rng, 50, count, chances) >= binom.ppf(0.001, 50, 0.95)


@pytest.mark.long
@pytest.mark.parametrize(("count", "chances"), PANELS)
def test_the_interval_of_the_difference_covers_in_2000_draws(count: int, chances: tuple[float, ...]) -> None:
    # Built from exact limits, it may cover more than it says but not less.
    rng = np.random.default_rng([20260309, count, *(int(100 * chance) for chance in chances)])
    held = calibration(rng, LONG, count, chances)
    print(f"covered {held} of {LONG}")
    assert held >= 0.93 * LONG


def false_alarms(rng: np.random.Generator, repetitions: int) -> int:
    """How often McNemar's p is at most .05 where both models succeed alike, many successes shared by ties."""
    count = 0
    for _ in range(repetitions):
        model, base = (rng.choice([0.0, 0.25, 0.5, 1.0], 40, p=[0.5, 0.2, 0.1, 0.2]) for _ in range(2))
        p = matched_rates(model, base).p
        assert p is not None
        count += p <= 0.05
    return count


def test_equal_models_are_rarely_told_apart() -> None:
    assert false_alarms(np.random.default_rng(20260311), 50) <= binom.ppf(0.999, 50, 0.05)


@pytest.mark.long
def test_equal_models_are_rarely_told_apart_in_2000_draws() -> None:
    count = false_alarms(np.random.default_rng(20260312), LONG)
    print(f"rejected {count} of {LONG}")
    assert count <= 131
