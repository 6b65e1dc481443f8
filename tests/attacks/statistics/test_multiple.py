"""Comparing several methods on the same people: known answers and calibration."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import permutation_test, rankdata, wilcoxon

from attacks.statistics import (
    holm,
    paired_difference,
    ranks_by_user,
    resampled_difference,
    sign_flip_two_sided,
)

RNG = np.random.default_rng


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


class TestSignFlip:
    @pytest.mark.parametrize(
        ("differences", "p"),
        [
            ([1.0] * 6, 2 / 64),
            ([-1.0] * 6, 2 / 64),
            ([1.0] * 5, 2 / 32),
            # Of 8 sums of 1, 2 and 3, those at least 4 from zero: 6, 4, -4 and -6.
            ([-1.0, 2.0, 3.0], 4 / 8),
            ([1.0, -1.0], 1.0),
            ([0.0] * 7, 1.0),
            ([], 1.0),
        ],
    )
    def test_by_hand(self, differences: list[float], p: float) -> None:
        assert sign_flip_two_sided(np.array(differences), RNG(0)) == pytest.approx(p)

    def test_it_is_scipys_exact_permutation_test(self) -> None:
        differences = RNG(1).normal(0.4, 1, 10)
        expected = permutation_test(
            (differences,),
            lambda x, axis: np.sum(x, axis=axis),
            permutation_type="samples",
            n_resamples=2**10,
        ).pvalue
        assert sign_flip_two_sided(differences, RNG(0)) == pytest.approx(expected)

    def test_on_ranks_it_is_wilcoxons(self) -> None:
        differences = RNG(2).normal(0.4, 1, 11)
        ranks = np.sign(differences) * rankdata(np.abs(differences))
        expected = wilcoxon(differences, method="exact").pvalue
        assert sign_flip_two_sided(ranks, RNG(0)) == pytest.approx(expected)

    @pytest.mark.parametrize("users", [8, 15])
    def test_its_size_is_right_and_it_sees_what_is_planted(self, users: int) -> None:
        rng, runs = RNG(3), 1000
        noise = rng.standard_t(3, (runs, users))
        found = np.array([sign_flip_two_sided(row, rng, draws=399) for row in noise])
        for level in (0.05, 0.2):
            share = float((found <= level).mean())
            slack = 3 * (level * (1 - level) / runs) ** 0.5
            # With few users the steps of the exact test are coarse, and doubling drawn ones is careful.
            assert 0.5 * level - slack <= share <= level + slack
        planted = [sign_flip_two_sided(row + 2.0, rng, draws=399) for row in noise[:200]]
        assert np.mean(np.array(planted) <= 0.05) > 0.75


def test_all_pairs_of_equal_methods_are_told_apart_in_one_study_of_twenty() -> None:
    """Four methods without a difference on ten users: any of the six corrected tests rejects at most 5 %."""
    rng, runs, wrong = RNG(4), 400, 0
    for _ in range(runs):
        values = rng.normal(0, 1, (1, 10)) + rng.normal(0, 1, (4, 10))
        p = [sign_flip_two_sided(a - b, rng) for a, b in combinations(values, 2)]
        wrong += min(holm(p)) <= 0.05
    assert wrong / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


class TestRanks:
    def test_by_hand(self) -> None:
        values = {
            "a": np.array([0.9, 0.5, 0.1]),
            "b": np.array([0.8, 0.5, 0.3]),
            "c": np.array([0.1, 0.2, 0.2]),
        }
        found = {name: ranks.tolist() for name, ranks in ranks_by_user(values).items()}
        assert found == {"a": [1, 1.5, 3], "b": [2, 1.5, 1], "c": [3, 3, 2]}
        assert ranks_by_user({}) == {}

    def test_rounding_is_no_difference(self) -> None:
        found = ranks_by_user({"a": np.array([0.3]), "b": np.array([0.1 + 0.2])})
        assert {name: ranks.tolist() for name, ranks in found.items()} == {"a": [1.5], "b": [1.5]}


class TestDifference:
    def test_few_users_get_a_t_interval_and_many_are_resampled(self) -> None:
        one, other = RNG(5).normal(0.1, 1, (2, 19))
        few, plain = resampled_difference(one, other, unit="targets"), paired_difference(one, other)
        assert few.interval is not None
        assert plain.interval is not None
        assert few.interval.how == "t over 19 targets"
        assert (few.value, few.interval.low) == (plain.value, plain.interval.low)
        one, other = RNG(5).normal(0.1, 1, (2, 20))
        found = resampled_difference(one, other, unit="targets").interval
        assert found is not None
        assert found.how == "bootstrap over 20 targets"

    def test_pairs_must_match(self) -> None:
        with pytest.raises(ValueError, match="cannot be paired"):
            resampled_difference(np.zeros(3), np.zeros(4))

    @pytest.mark.parametrize("users", [8, 24])
    def test_it_covers(self, users: int) -> None:
        rng, runs, inside = RNG(6), 600, 0
        for _ in range(runs):
            shared = rng.normal(0, 1, users)
            found = resampled_difference(
                shared + rng.exponential(1, users), shared + rng.exponential(1, users) - 0.3, rng=rng
            ).interval
            assert found is not None
            inside += found.low <= 0.3 <= found.high
        assert 0.92 <= inside / runs <= 0.98
