"""Paired comparisons, sign flips, exact rates, and what an audit of some size can see."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm, permutation_test

from attacks.statistics import (
    Estimate,
    Interval,
    UserScores,
    auc,
    clopper_pearson,
    detectable_auc,
    difference_p,
    leakage_retained,
    null_deviation,
    paired_auc_difference,
    records_needed,
    sign_flip,
    within_user_auc,
)


def people(rng: np.random.Generator, users: int, records: int, shift: float) -> list[UserScores]:
    found = []
    for place in range(users):
        member = np.arange(2 * records) < records
        scores = rng.normal(0, 1, (1, 2 * records)) + shift * member
        found.append(UserScores(f"u{place}", member, scores))
    return found


def changed(rng: np.random.Generator, users: list[UserScores], noise: float) -> list[UserScores]:
    return [
        UserScores(user.user, user.member, user.scores + rng.normal(0, noise, user.scores.shape))
        for user in users
    ]


class TestPairedDifference:
    def test_it_is_the_difference_of_the_two(self) -> None:
        rng = np.random.default_rng(0)
        first = people(rng, 4, 12, 1.0)
        second = changed(rng, first, 0.7)
        found = paired_auc_difference(first, second)
        one, other = within_user_auc(first).value, within_user_auc(second).value
        assert one is not None
        assert other is not None
        assert found.value == pytest.approx(one - other)

    def test_with_one_user_it_is_delongs_test(self) -> None:
        # DeLong's covariance written out: var(A1) + var(A2) - 2 cov, from the placements of both.
        rng = np.random.default_rng(1)
        (first,) = people(rng, 1, 40, 0.8)
        (second,) = changed(rng, [first], 1.0)
        found = paired_auc_difference([first], [second])
        member, variance = first.member, 0.0
        for side, other in ((member, ~member), (~member, member)):
            placed = []
            for user in (first, second):
                a, b = user.scores[0][side], user.scores[0][other]
                above = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])
                placed.append(above.mean(axis=1) if side[0] else 1 - above.mean(axis=1))
            covariance = np.cov(placed[0], placed[1])
            variance += (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / side.sum()
        assert found.interval is not None
        half = (found.interval.high - found.interval.low) / 2
        assert half == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)

    def test_pairing_narrows_the_interval(self) -> None:
        rng = np.random.default_rng(2)
        first = people(rng, 6, 20, 0.8)
        close, apart = changed(rng, first, 0.2), people(rng, 6, 20, 0.8)
        widths = []
        for second in (close, apart):
            interval = paired_auc_difference(first, second).interval
            assert interval is not None
            widths.append(interval.high - interval.low)
        assert widths[0] < 0.5 * widths[1]

    def test_equal_scores_differ_by_nothing_and_have_no_width(self) -> None:
        first = people(np.random.default_rng(3), 3, 10, 0.5)
        found = paired_auc_difference(first, first)
        assert (found.value, found.interval) == (0.0, None)
        assert "the same for every record" in found.reason

    def test_other_records_are_refused(self) -> None:
        first = people(np.random.default_rng(4), 2, 6, 0.5)
        with pytest.raises(ValueError, match="different users"):
            paired_auc_difference(first, first[:1])
        turned = [UserScores(user.user, ~user.member, user.scores) for user in first]
        with pytest.raises(ValueError, match="user u0: the two sets of scores are about different records"):
            paired_auc_difference(first, turned)

    def test_few_records_have_no_interval(self) -> None:
        first = people(np.random.default_rng(5), 1, 4, 0.5)
        found = paired_auc_difference(first, changed(np.random.default_rng(6), first, 1.0))
        assert found.value is not None
        assert found.reason == "interval needs 5 members and 5 non-members, has 4 and 4"

    def test_the_p_value_goes_with_the_interval(self) -> None:
        rng = np.random.default_rng(7)
        for shift in (0.1, 0.6, 1.2):
            first = people(rng, 5, 20, shift)
            found = paired_auc_difference(first, people(rng, 5, 20, 0.0))
            p = difference_p(found)
            assert found.interval is not None
            assert p is not None
            assert (p < 0.05) == (not found.interval.low <= 0 <= found.interval.high)
        # A difference of 1.959964 standard errors.
        assert difference_p(Estimate(0.2, Interval(0.0, 0.4, 0.95, ""), "")) == pytest.approx(0.05)
        assert difference_p(Estimate(-0.2, Interval(-0.5, 0.0, 0.95, ""), "")) == pytest.approx(0.05)
        assert difference_p(Estimate(0.2, Interval(-0.2, 0.6, 0.95, ""), "")) == pytest.approx(
            2 * norm.sf(1.959964 / 2), rel=1e-5
        )
        assert difference_p(Estimate(0.2, None, "")) is None

    def test_two_perfect_attacks_are_not_certain_to_be_equal(self) -> None:
        # Both AUCs are 1 by other orders: Newcombe's lower limit is .832 at 12 + 12, each .168 away.
        member = np.arange(24) < 12
        first = [UserScores("a", member, np.where(member, 100.0, 0.0) + np.arange(24.0)[None])]
        second = [UserScores("a", member, np.where(member, 100.0, 0.0) - np.arange(24.0)[None])]
        found = paired_auc_difference(first, second)
        assert found.value == 0
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((-0.168, 0.168), abs=1e-3)
        assert found.interval.how == "paired within-user DeLong, Newcombe for 1 of 1 users"

    def test_a_user_with_one_record_on_a_side_adds_uncertainty(self) -> None:
        rng = np.random.default_rng(8)
        many = people(rng, 4, 15, 0.5)
        single = [UserScores("one", np.arange(16) == 0, rng.normal(size=(1, 16)))]
        others = changed(rng, [*many, *single], 1.0)
        alone, joined = (
            paired_auc_difference(many, others[:4]),
            paired_auc_difference([*many, *single], others),
        )
        assert alone.interval is not None
        assert joined.interval is not None
        assert joined.interval.how == "paired within-user DeLong, Newcombe for 1 of 5 users"
        # Five times the mean's distance: the variances add up before the division.
        assert 5 * (joined.interval.high - joined.interval.low) > 4 * (
            alone.interval.high - alone.interval.low
        )

    def test_its_limits_stay_in_range(self) -> None:
        member = np.arange(12) < 6
        first = [UserScores("a", member, member[None] + 0.1 * np.arange(12.0)[None])]
        found = paired_auc_difference(first, [UserScores("a", member, -first[0].scores)]).interval
        assert found is not None
        assert found.high == 1.0

    @pytest.mark.parametrize("draws", [pytest.param(60), pytest.param(2000, marks=pytest.mark.long)])
    @pytest.mark.parametrize("users", [3, 5, 8, 12, 20])
    def test_its_coverage(self, draws: int, users: int) -> None:
        rng = np.random.default_rng(7)
        covered = 0
        for _ in range(draws):
            common = people(rng, users, 15, 0.0)
            first = [UserScores(u.user, u.member, u.scores + 0.6 * u.member) for u in common]
            second = [
                UserScores(u.user, u.member, v.scores + 0.6 * u.member)
                for u, v in zip(common, changed(rng, common, 1.0), strict=True)
            ]
            truth = norm.cdf(0.6 / np.sqrt(2)) - norm.cdf(0.6 / np.sqrt(2 + 2))
            interval = paired_auc_difference(first, second).interval
            assert interval is not None
            covered += interval.low <= truth <= interval.high
        if draws == 2000:
            assert 0.93 <= covered / draws <= 0.97
        else:
            assert covered / draws >= 0.85

    @pytest.mark.parametrize("draws", [pytest.param(60), pytest.param(2000, marks=pytest.mark.long)])
    @pytest.mark.parametrize("users", [3, 8])
    def test_equal_methods_are_found_different_no_more_than_it_says(self, draws: int, users: int) -> None:
        rng = np.random.default_rng([20260302, users])
        rejected = 0
        for _ in range(draws):
            common = people(rng, users, 20, 0.6)
            p = difference_p(paired_auc_difference(changed(rng, common, 0.7), changed(rng, common, 0.7)))
            assert p is not None
            rejected += p <= 0.05
        assert rejected <= (131 if draws == 2000 else binom.ppf(0.999, draws, 0.05))


class TestSignFlip:
    def test_it_counts_every_assignment(self) -> None:
        differences = np.array([0.4, 1.0, -0.2, 0.7])
        sums = [np.dot(signs, differences) for signs in product((1, -1), repeat=4)]
        expected = np.mean([total >= differences.sum() - 1e-12 for total in sums])
        assert sign_flip(differences, np.random.default_rng(0)) == expected

    def test_it_agrees_with_scipy(self) -> None:
        differences = np.random.default_rng(1).normal(0.4, 1, 9)
        theirs = permutation_test(
            (differences,), np.sum, permutation_type="samples", alternative="greater", n_resamples=512
        )
        assert sign_flip(differences, np.random.default_rng(0)) == pytest.approx(theirs.pvalue)

    def test_four_pairs_cannot_reach_five_per_cent(self) -> None:
        assert sign_flip(np.ones(4), np.random.default_rng(0)) == 1 / 16
        assert sign_flip(np.ones(5), np.random.default_rng(0)) == 1 / 32

    def test_many_pairs_are_drawn(self) -> None:
        rng = np.random.default_rng(2)
        assert sign_flip(np.ones(40), rng) == 1 / 10_000
        assert sign_flip(np.array([]), rng) == 1.0
        with pytest.raises(ValueError, match="not finite"):
            sign_flip(np.array([np.nan]), rng)

    @pytest.mark.parametrize("draws", [pytest.param(50), pytest.param(2000, marks=pytest.mark.long)])
    @pytest.mark.parametrize("pairs", [8, 30])
    def test_its_size(self, draws: int, pairs: int) -> None:
        rng = np.random.default_rng(3)
        rejected = sum(sign_flip(rng.standard_t(3, pairs), rng, 499) <= 0.05 for _ in range(draws))
        assert rejected <= (131 if draws == 2000 else 9)


class TestRates:
    def test_zero_of_a_hundred(self) -> None:
        assert clopper_pearson(0, 100).high == pytest.approx(0.0362, abs=5e-5)
        assert clopper_pearson(0, 100, one_sided=True).high == pytest.approx(0.0295, abs=5e-5)
        assert clopper_pearson(0, 1000, one_sided=True).high == pytest.approx(0.0030, abs=5e-5)
        assert clopper_pearson(100, 100).low == pytest.approx(1 - 0.0362, abs=5e-5)

    @pytest.mark.parametrize(("count", "total"), [(0, 7), (1, 1), (3, 7), (7, 7), (40, 500), (1, 10_000)])
    def test_it_is_scipys(self, count: int, total: int) -> None:
        theirs = binomtest(count, total).proportion_ci(0.95, method="exact")
        found = clopper_pearson(count, total)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12, abs=1e-12)

    def test_the_published_bound_of_many_runs(self) -> None:
        # 500 of 500 and 0 of 500 at 99 % two-sided: a lower bound of 4.542 on epsilon.
        high = clopper_pearson(0, 500, 0.99).high
        low = clopper_pearson(500, 500, 0.99).low
        assert np.log(low / high) == pytest.approx(4.542, abs=1e-3)
        one = [clopper_pearson(n, 500, 0.99, one_sided=True) for n in (500, 0)]
        assert np.log(one[0].low / one[1].high) == pytest.approx(4.683, abs=1e-3)

    def test_what_is_no_rate(self) -> None:
        for count, total in ((-1, 5), (6, 5), (0, 0)):
            with pytest.raises(ValueError, match="is no rate"):
                clopper_pearson(count, total)


class TestPower:
    @pytest.mark.parametrize(("limit", "records"), [(0.55, 571), (0.60, 143), (0.65, 64), (0.70, 36)])
    def test_records_for_a_limit(self, limit: float, records: int) -> None:
        assert records_needed(limit) == records
        assert detectable_auc(records, records) == pytest.approx(limit, abs=2e-3)

    def test_the_null_deviation(self) -> None:
        for size, expected in ((50, 0.058), (100, 0.041), (500, 0.018)):
            assert null_deviation(size, size) == pytest.approx(expected, abs=5e-4)
        rng = np.random.default_rng(0)
        found = [auc(rng.normal(size=20), rng.normal(size=30)) for _ in range(4000)]
        assert np.std(found) == pytest.approx(null_deviation(20, 30), rel=0.05)

    def test_a_limit_that_nothing_can_meet(self) -> None:
        with pytest.raises(ValueError, match="limit"):
            records_needed(0.5)


def estimate(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, Interval(value - half, value + half, 0.95, "given"), "")


class TestRetained:
    def test_it_is_the_ratio_of_probits(self) -> None:
        found = leakage_retained(estimate(float(norm.cdf(0.5))), estimate(float(norm.cdf(1.0))))
        assert found.value == pytest.approx(0.5)
        assert found.interval is not None
        assert found.interval.low < 0.5 < found.interval.high

    def test_it_does_not_saturate_and_is_not_clipped(self) -> None:
        turned = leakage_retained(estimate(0.4), estimate(0.9))
        more = leakage_retained(estimate(0.95, 0.02), estimate(0.9))
        assert turned.value is not None
        assert more.value is not None
        assert turned.value < 0
        assert more.value > 1

    @pytest.mark.parametrize("own", [0.5, 0.45, 1.0])
    def test_without_a_leak_of_its_own_there_is_no_ratio(self, own: float) -> None:
        found = leakage_retained(estimate(0.6), Estimate(own, None, ""))
        assert found.value is None
        assert "the own module's AUC is" in found.reason

    def test_the_delta_method_against_draws(self) -> None:
        rng = np.random.default_rng(1)
        top, bottom = rng.normal(0.7, 0.02, 20_000), rng.normal(0.85, 0.02, 20_000)
        ratios = norm.ppf(top) / norm.ppf(bottom)
        found = leakage_retained(estimate(0.7, 1.96 * 0.02), estimate(0.85, 1.96 * 0.02))
        assert found.interval is not None
        assert (found.interval.high - found.interval.low) / (2 * 1.96) == pytest.approx(
            ratios.std(), rel=0.05
        )
