import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp, ttest_rel

from attacks.statistics import (
    UserScores,
    auc,
    mean_interval,
    newcombe_limits,
    paired_difference,
    sharers_interval,
    user_auc,
    within_user_auc,
)
from attacks.statistics.newcombe import newcombe_variance


def user(name: str, members: list[float], nonmembers: list[float]) -> UserScores:
    flags = np.array([True] * len(members) + [False] * len(nonmembers))
    return UserScores(name, flags, np.array([[*members, *nonmembers]], dtype=np.float64))


def perfect(name: str, count: int) -> UserScores:
    return user(name, [*range(count, 2 * count)], [*range(count)])


def random_users(seed: int, count: int, records: int = 24, models: int = 2) -> list[UserScores]:
    rng = np.random.default_rng(seed)
    return [
        UserScores(f"u{i}", np.arange(records) % 2 == 0, rng.normal(size=(models, records)))
        for i in range(count)
    ]


class TestNewcombe:
    @pytest.mark.parametrize(("records", "low"), [(12, 0.832), (36, 0.944), (80, 0.975)])
    def test_a_perfect_attack_has_the_known_lower_limit(self, records: int, low: float) -> None:
        sizes = [(records, records)]
        assert newcombe_limits(1.0, sizes, 0.95) == pytest.approx((low, 1.0), abs=5e-4)
        assert newcombe_limits(0.0, sizes, 0.95) == pytest.approx((0.0, 1 - low), abs=5e-4)
        assert newcombe_limits(1.0, sizes, 0.95)[1] == 1.0

    @pytest.mark.parametrize("value", [0.01, 0.3, 0.5, 0.77, 0.999])
    def test_the_limits_lie_a_critical_distance_away_by_their_own_error(self, value: float) -> None:
        for limit in newcombe_limits(value, [(9, 14)], 0.9):
            error = np.sqrt(newcombe_variance(limit, 9, 14))
            assert abs(value - limit) / error == pytest.approx(norm.ppf(0.95), rel=1e-6)

    def test_its_variance_is_the_mann_whitney_one_at_one_half_for_one_pair(self) -> None:
        assert newcombe_variance(0.5, 1, 1) == 0.25

    def test_several_samples_narrow_it(self) -> None:
        one, three = newcombe_limits(1.0, [(12, 12)], 0.95), newcombe_limits(1.0, [(12, 12)] * 3, 0.95)
        # Three users of 12 + 12 have fewer pairs than one of 36 + 36.
        assert one[0] < three[0] < 0.944


class TestWithinUser:
    def test_it_averages_over_models_then_users(self) -> None:
        rows = np.array([[1.0, 0.0] * 3, [0.0, 1.0] * 3, [1.0, 0.0] * 3])
        first = UserScores("a", np.array([True, False] * 3), rows)
        assert user_auc(first) == pytest.approx(2 / 3)
        value = within_user_auc([first, user("b", [1, 3], [0, 2])]).value
        assert value == pytest.approx((2 / 3 + 0.75) / 2)

    def test_users_of_different_levels_are_not_mixed(self) -> None:
        low, high = user("low", [0, 1, 2], [0, 1, 2]), user("high", [10, 11, 12], [10, 11, 12])
        assert within_user_auc([low, high]).value == 0.5

    def test_a_single_large_group_gives_delongs_interval(self) -> None:
        rng = np.random.default_rng(1)
        members, nonmembers = rng.normal(0.5, 1, 60), rng.normal(0, 1, 70)
        wins = members[:, None] > nonmembers[None, :]
        se = np.sqrt(wins.mean(1).var(ddof=1) / 60 + wins.mean(0).var(ddof=1) / 70)
        found = within_user_auc([user("all", [*members], [*nonmembers])])
        assert found.value == pytest.approx(auc(members, nonmembers))
        assert found.interval is not None
        assert found.interval.how == "within-user DeLong"
        assert found.interval.low == pytest.approx(wins.mean() - 1.959964 * se, abs=1e-6)
        assert found.interval.high == pytest.approx(wins.mean() + 1.959964 * se, abs=1e-6)

    def test_variances_add_up_over_users_each_record_carrying_all_its_scores(self) -> None:
        users = random_users(2, 5, models=3)
        variance = 0.0
        for one in users:
            left, right = one.scores[:, one.member, None], one.scores[:, None, ~one.member]
            wins = (left > right).mean(axis=0)
            variance += wins.mean(1).var(ddof=1) / 12 + wins.mean(0).var(ddof=1) / 12
        found = within_user_auc(users, level=0.9)
        assert found.value is not None
        assert found.interval is not None
        assert found.interval.level == 0.9
        half = 1.644854 * np.sqrt(variance) / 5
        assert found.interval.low == pytest.approx(found.value - half, abs=1e-6)
        assert found.interval.high == pytest.approx(found.value + half, abs=1e-6)

    def test_copies_of_a_model_add_no_certainty(self) -> None:
        users = random_users(3, 4, models=1)
        copied = [UserScores(u.user, u.member, np.repeat(u.scores, 7, axis=0)) for u in users]
        first, second = within_user_auc(users).interval, within_user_auc(copied).interval
        assert first is not None
        assert second is not None
        assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=1e-12)

    def test_a_perfect_attack_is_never_certain(self) -> None:
        found = within_user_auc([perfect("a", 12)])
        assert (found.value, found.reason) == (1.0, "")
        assert found.interval is not None
        assert found.interval.how == "Newcombe score"
        assert found.interval.low == pytest.approx(0.832, abs=5e-4)
        assert found.interval.high == 1.0
        three = within_user_auc([perfect(name, 12) for name in "abc"]).interval
        assert three is not None
        assert 0.832 < three.low < 0.944

    def test_users_at_opposite_ends_are_not_certain_to_average_one_half(self) -> None:
        found = within_user_auc([perfect("a", 12), user("b", [*range(12)], [*range(12, 24)])])
        assert found.value == 0.5
        assert found.interval is not None
        assert found.interval.how == "within-user DeLong, Newcombe for 2 of 2 users"
        # Each end is .168 away from its own limit; the square root of both squares is halved.
        assert found.interval.high == pytest.approx(0.5 + 0.168 / 2, abs=1e-3)
        assert found.interval.low == pytest.approx(0.5 - 0.168 / 2, abs=1e-3)

    def test_one_model_against_another_is_not_certain_either(self) -> None:
        both = perfect("a", 60)
        opposed = UserScores("a", both.member, np.vstack([both.scores, both.scores, -both.scores]))
        found = within_user_auc([opposed, opposed]).interval
        assert found is not None
        assert found.high - found.low > 0.05

    def test_a_single_record_on_a_side_still_has_an_uncertainty(self) -> None:
        found = within_user_auc([user(str(i), [1.5], [0, 1, 2, 3]) for i in range(6)])
        assert found.value == 0.5
        assert found.interval is not None
        assert found.interval.high - found.interval.low > 0.2

    def test_one_small_user_gets_the_score_interval(self) -> None:
        users = random_users(4, 2, records=40)
        alone, both = within_user_auc(users[:1]).interval, within_user_auc(users).interval
        assert alone is not None
        assert both is not None
        assert (alone.how, both.how) == ("Newcombe score", "within-user DeLong")

    def test_a_tied_user_adds_one_half_and_no_width(self) -> None:
        users = random_users(5, 3)
        tied = user("tied", [1.0] * 12, [1.0] * 12)
        alone, joined = within_user_auc(users), within_user_auc([*users, tied])
        assert alone.value is not None
        assert alone.interval is not None
        assert joined.value == pytest.approx((3 * alone.value + 0.5) / 4)
        assert joined.interval is not None
        assert joined.interval.high - joined.interval.low == pytest.approx(
            0.75 * (alone.interval.high - alone.interval.low)
        )

    def test_the_limits_stay_in_range(self) -> None:
        almost = [user(str(i), [*range(5, 14), 3.5], [*range(5)]) for i in range(3)]
        found = within_user_auc(almost, level=0.9999).interval
        assert found is not None
        assert found.high == 1.0

    def test_all_scores_tied_is_undefined(self) -> None:
        found = within_user_auc([user(name, [1.0] * 9, [1.0] * 9) for name in "ab"])
        assert (found.value, found.interval) == (None, None)
        assert found.reason == "undefined: all scores are tied"

    def test_users_that_cannot_be_compared_are_left_out_and_counted(self) -> None:
        users = random_users(6, 3)
        found = within_user_auc([*users, user("in", [1, 2], []), user("out", [], [1])])
        assert found.value == within_user_auc(users).value
        assert found.interval == within_user_auc(users).interval
        assert found.reason == "2 of 5 users left out: no member or no non-member"

    @pytest.mark.parametrize("users", [[], [user("in", [1, 2], [])]])
    def test_nobody_to_compare_is_undefined(self, users: list[UserScores]) -> None:
        found = within_user_auc(users)
        assert (found.value, found.interval) == (None, None)
        assert found.reason == "undefined: no user has both a member and a non-member"

    def test_too_few_records_give_a_value_and_the_number_needed(self) -> None:
        found = within_user_auc([user("a", [1, 2], [0, 3, 1.5]), user("b", [1, 2], [0, 3, 1.5])])
        assert found.value == 0.5
        assert found.interval is None
        assert found.reason == "interval needs 5 members and 5 non-members, has 4 and 6"


class TestSharersInGeneral:
    def test_it_is_the_t_interval_of_their_aucs(self) -> None:
        users = random_users(7, 6)
        values = [user_auc(one) for one in users]
        found = sharers_interval(users)
        expected = ttest_1samp(values, 0.5).confidence_interval(0.95)
        assert found.value == pytest.approx(within_user_auc(users).value)
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
        assert (found.interval.how, found.reason) == ("t over 6 sharers", "")

    def test_it_needs_six(self) -> None:
        found = sharers_interval([*random_users(8, 5), user("out", [], [1, 2])])
        assert found.value is not None
        assert found.interval is None
        assert found.reason == (
            "interval needs 6 sharers, has 5; 1 of 6 users left out: no member or no non-member"
        )

    def test_sharers_that_agree_fully_say_nothing_about_others(self) -> None:
        found = sharers_interval([perfect(str(i), 8) for i in range(7)])
        assert (found.value, found.interval) == (1.0, None)
        assert found.reason == "no interval: all 7 sharers are equal"

    def test_its_limits_stay_in_range(self) -> None:
        users = [perfect(str(i), 8) for i in range(6)] + [user("x", [0, 1], [0, 1])]
        found = sharers_interval(users).interval
        assert found is not None
        assert found.high == 1.0

    def test_all_scores_tied_is_undefined(self) -> None:
        found = sharers_interval([user(str(i), [1.0] * 9, [1.0] * 9) for i in range(8)])
        assert (found.value, found.reason) == (None, "undefined: all scores are tied")


class TestMeans:
    def test_paired_differences_equal_the_paired_t_test(self) -> None:
        rng = np.random.default_rng(9)
        first, second = rng.normal(0.6, 0.1, 9), rng.normal(0.5, 0.1, 9)
        expected = ttest_rel(first, second).confidence_interval(0.9)
        found = paired_difference(first, second, level=0.9)
        assert found.value == pytest.approx((first - second).mean())
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
        assert found.interval.how == "t over 9 pairs"

    def test_a_mean_has_a_known_answer(self) -> None:
        # Mean 3.5, sample sd 1.870829, t(5) = 2.570582.
        found = mean_interval(np.arange(1.0, 7.0))
        assert found.value == 3.5
        assert found.interval is not None
        assert found.interval.low == pytest.approx(1.536686, abs=1e-5)
        assert found.interval.high == pytest.approx(5.463314, abs=1e-5)

    def test_too_few_equal_or_no_values_give_a_reason(self) -> None:
        assert mean_interval(np.ones(5)).reason == "interval needs 6 values, has 5"
        same = paired_difference(np.full(8, 0.3), np.full(8, 0.1))
        assert same.value == pytest.approx(0.2)
        assert (same.interval, same.reason) == (None, "no interval: all 8 pairs are equal")
        nothing = mean_interval(np.array([]))
        assert (nothing.value, nothing.reason) == (None, "undefined: there are no values")

    def test_pairs_must_fit_and_be_finite(self) -> None:
        with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
            paired_difference(np.ones(3), np.ones(2))
        with pytest.raises(ValueError, match="one is not finite"):
            paired_difference(np.array([1.0, np.nan]), np.ones(2))


class TestUserScores:
    @pytest.mark.parametrize(
        ("member", "scores", "message"),
        [
            (np.array([1, 0]), np.ones((1, 2)), "membership must be one axis of bool"),
            (np.array([[True, False]]), np.ones((1, 2)), "membership must be one axis of bool"),
            (np.array([True, False]), np.ones(2), "scores of shape"),
            (np.array([True, False]), np.ones((1, 3)), "scores of shape"),
            (np.array([True, False]), np.ones((0, 2)), "scores of shape"),
            (np.array([True, False]), np.array([[1.0, np.nan]]), "a score is not finite"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(
        self, member: np.ndarray, scores: np.ndarray, message: str
    ) -> None:
        with pytest.raises(ValueError, match=f"user a: {message}"):
            UserScores("a", member, scores)

    def test_it_counts_both_sides(self) -> None:
        one = user("a", [1, 2, 3], [0])
        assert (one.members, one.nonmembers, one.comparable, one.tied) == (3, 1, True, False)
        assert not user("a", [1], []).comparable
