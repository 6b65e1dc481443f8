"""The bootstrap over users, and what resampling went wrong with elsewhere."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t

from attacks.statistics import (
    UserScores,
    auc,
    bootstrap_interval,
    mean_interval,
    sharers_interval,
    user_auc,
    within_user_auc,
)


def people(seed: int, count: int, shift: float = 0.8, records: int = 12) -> list[UserScores]:
    rng = np.random.default_rng(seed)
    member = np.arange(2 * records) % 2 == 0
    return [
        UserScores(f"u{i}", member, rng.normal(size=(1, 2 * records)) + shift * member) for i in range(count)
    ]


def turned(users: list[UserScores], *, scores: bool = False, classes: bool = False) -> list[UserScores]:
    return [
        UserScores(u.user, ~u.member if classes else u.member, -u.scores if scores else u.scores)
        for u in users
    ]


def test_it_is_the_percentile_interval_at_expanded_percentiles() -> None:
    values = np.random.default_rng(0).exponential(size=25)
    tail = norm.cdf(-np.sqrt(25 / 24) * t.ppf(0.975, 24))
    theirs = bootstrap(
        (values,), np.mean, confidence_level=1 - 2 * tail, n_resamples=100_000, method="percentile", rng=1
    ).confidence_interval
    found = bootstrap_interval(values, rng=np.random.default_rng(2), draws=100_000)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01 * values.std())


@pytest.mark.parametrize(("count", "level"), [(20, 0.95), (40, 0.9)])
def test_for_symmetric_values_it_is_as_wide_as_the_t_interval(count: int, level: float) -> None:
    values = norm.ppf((np.arange(count) + 0.5) / count)
    found = bootstrap_interval(values, level, np.random.default_rng(3), draws=200_000)
    expected = mean_interval(values, level).interval
    assert expected is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_equal_values_have_equal_intervals() -> None:
    values = np.random.default_rng(4).normal(size=30)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, rng=np.random.default_rng(5))


def test_sharers_are_resampled_from_twenty() -> None:
    for count, how in ((19, "t over 19 sharers"), (20, "bootstrap over 20 sharers")):
        interval = sharers_interval(people(6, count)).interval
        assert interval is not None
        assert interval.how == how
    users = people(7, 24)
    found = sharers_interval([*users, UserScores("in", np.ones(3, dtype=bool), np.ones((1, 3)))])
    assert found.value == pytest.approx(within_user_auc(users).value)
    expected = bootstrap_interval(np.array([user_auc(u) for u in users]), unit="sharers")
    assert found.interval == expected
    assert found.reason == "1 of 25 users left out: no member or no non-member"


def test_sharers_that_agree_fully_are_not_resampled_to_certainty() -> None:
    found = sharers_interval(
        [UserScores(f"u{i}", np.arange(8) < 4, -np.arange(8.0)[None]) for i in range(25)]
    )
    assert (found.value, found.interval) == (1.0, None)
    assert found.reason == "no interval: all 25 sharers are equal"


@pytest.mark.parametrize("count", [8, 25])
def test_an_interval_lies_around_its_own_auc_and_not_around_the_turned_one(count: int) -> None:
    # Resampling scores that were negated already, through a function that negates, gives that of 1 - AUC.
    users = people(8, count, shift=1.5)
    for estimate in (sharers_interval, within_user_auc):
        own, negated, swapped = (
            estimate(u) for u in (users, turned(users, scores=True), turned(users, classes=True))
        )
        assert own.value is not None
        assert own.interval is not None
        assert 0.5 < own.interval.low < own.value < own.interval.high
        for other in (negated, swapped):
            assert other.value == pytest.approx(1 - own.value)
            assert other.interval is not None
            assert (1 - other.interval.high, 1 - other.interval.low) == pytest.approx(
                (own.interval.low, own.interval.high), abs=0.01
            )


def test_negated_scores_of_swapped_classes_give_the_same_auc() -> None:
    rng = np.random.default_rng(9)
    members, nonmembers = rng.normal(1, 1, 30), np.round(rng.normal(0, 1, 40), 1)
    assert auc(-nonmembers, -members) == pytest.approx(auc(members, nonmembers), abs=1e-15)
    assert auc(-members, -nonmembers) == pytest.approx(1 - auc(members, nonmembers), abs=1e-15)


def test_too_few_values_or_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="values: at least 20 are needed to resample them, not 19"):
        bootstrap_interval(np.arange(19.0))
    with pytest.raises(ValueError, match="values: one is not finite"):
        bootstrap_interval(np.array([*range(20), np.nan]))
    with pytest.raises(ValueError, match=r"draws: at least \d+ are needed at the level 0.95, not 20"):
        bootstrap_interval(np.arange(30.0), draws=20)
