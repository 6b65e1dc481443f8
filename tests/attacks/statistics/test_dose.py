import itertools

import numpy as np
import pytest
from scipy.stats import binom, spearmanr, ttest_1samp

from attacks.statistics import UserDoses, dose_response

DOSES = np.array([0.1, 0.25, 0.5, 0.75, 1.0])


def followers(
    rng: np.random.Generator, users: int, slope: float, fixed: bool = False, noise: float = 1.0
) -> list[UserDoses]:
    """Users whose leak follows the dose, and also what is held fixed where there is something."""
    found = []
    for i in range(users):
        dose = rng.permutation(np.concatenate([DOSES, DOSES]))
        other = rng.normal(size=len(dose))
        gap = slope * dose + rng.normal(0, noise, len(dose)) + (2 * other if fixed else 0)
        found.append(UserDoses(f"u{i}", dose, gap, (other,) if fixed else ()))
    return found


def test_it_is_the_mean_rank_correlation_with_a_t_interval() -> None:
    users = followers(np.random.default_rng(0), 7, 1.0)
    values = [float(spearmanr(user.dose, user.gap).statistic) for user in users]
    found = dose_response(users, np.random.default_rng(1)).correlation
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(values))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_the_p_value_counts_the_assignments() -> None:
    # Two users of three doses each: 36 assignments, of which one reaches a perfect rise.
    users = [UserDoses(name, np.arange(3.0), np.array([1.0, 2.0, 5.0])) for name in "ab"]
    found = dose_response(users, np.random.default_rng(2), draws=36_000)
    assert found.how == "permutation within users"
    assert found.p == pytest.approx(1 / 36, rel=0.1)
    falling = [UserDoses(u.user, u.dose, -u.gap) for u in users]
    assert dose_response(falling, np.random.default_rng(3)).p == 1.0


def test_the_p_value_is_that_of_all_permutations_with_ties() -> None:
    dose, gap = np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.2, 0.5, 0.5, 0.4])
    observed = spearmanr(dose, gap).statistic
    reached = [
        spearmanr(dose, gap[list(order)]).statistic >= observed - 1e-9
        for order in itertools.permutations(range(4))
    ]
    found = dose_response([UserDoses("a", dose, gap)], np.random.default_rng(4), draws=40_000)
    assert found.p == pytest.approx(np.mean(reached), abs=0.01)
    assert found.correlation.reason == "interval needs 6 users, has 1"


def test_a_rise_is_found() -> None:
    rng = np.random.default_rng(5)
    for fixed in (False, True):
        p = dose_response(followers(rng, 8, 3.0, fixed), rng).p
        assert p is not None
        assert p < 0.01


def test_a_leak_that_follows_the_norm_alone_does_not_follow_the_share() -> None:
    # The share rises with the norm; at a fixed norm it changes nothing.
    rng = np.random.default_rng(6)
    plain, partial = [], []
    for i in range(12):
        norm = rng.normal(size=20)
        share, gap = norm + 0.5 * rng.normal(size=20), norm + 0.3 * rng.normal(size=20)
        plain.append(UserDoses(f"u{i}", share, gap))
        partial.append(UserDoses(f"u{i}", share, gap, (norm,)))
    alone, held = dose_response(plain, rng), dose_response(partial, rng)
    assert alone.correlation.value is not None
    assert held.correlation.value is not None
    assert alone.correlation.value > 0.7
    assert abs(held.correlation.value) < 0.2
    assert held.how == "t test over 12 users"


def test_a_fall_is_no_rise() -> None:
    rng = np.random.default_rng(7)
    p = dose_response(followers(rng, 8, -3.0, fixed=True), rng).p
    assert p is not None
    assert p > 0.99


def test_what_does_not_vary_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(8)
    users = followers(rng, 6, 1.0)
    flat = [UserDoses("flat", DOSES, np.ones(5)), UserDoses("short", DOSES[:2], DOSES[:2])]
    found = dose_response([*users, *flat], rng)
    assert found.correlation.value == dose_response(users, rng).correlation.value
    assert found.correlation.reason == ("2 of 8 users left out: too few doses, or dose or leak does not vary")
    nothing = dose_response(flat, rng)
    assert (nothing.correlation.value, nothing.p) == (None, None)
    assert nothing.how == "no test: no user's dose and leak vary"


def test_leaks_that_differ_by_rounding_are_no_rise() -> None:
    rising = np.array([0.7, 0.7, 0.7, 0.7, 0.9]) + 1e-13 * np.arange(5.0)
    found = dose_response([UserDoses("a", DOSES, rising)], np.random.default_rng(10))
    assert found.correlation.value == pytest.approx(spearmanr(DOSES, [0.7, 0.7, 0.7, 0.7, 0.9]).statistic)
    assert found.p == pytest.approx(1 / 5, abs=0.03)
    flat = UserDoses("a", DOSES, 0.7 + 1e-13 * np.arange(5.0))
    assert dose_response([flat], np.random.default_rng(11)).p is None


def test_few_users_have_no_test_where_something_is_held_fixed() -> None:
    rng = np.random.default_rng(9)
    found = dose_response(followers(rng, 5, 3.0, fixed=True), rng)
    assert found.p is None
    assert found.how == "no test: a t test needs 6 users that differ"


@pytest.mark.parametrize(
    ("dose", "gap", "fixed", "message"),
    [
        (DOSES, DOSES[:4], (), "differ in length"),
        (DOSES, DOSES, (DOSES[:4],), "differ in length"),
        (DOSES, DOSES * np.nan, (), "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    dose: np.ndarray, gap: np.ndarray, fixed: tuple[np.ndarray, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"user a: .*{message}"):
        UserDoses("a", dose, gap, fixed)


@pytest.mark.parametrize("draws", [pytest.param(50), pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize(("users", "fixed"), [(2, False), (8, False), (8, True)])
def test_without_a_rise_it_rejects_no_more_than_it_says(draws: int, users: int, fixed: bool) -> None:
    rng = np.random.default_rng([20260301, users, fixed])
    found = (dose_response(followers(rng, users, 0.0, fixed), rng, draws=199).p for _ in range(draws))
    rejected = sum(p is not None and p <= 0.05 for p in found)
    assert rejected <= (131 if draws == 2000 else binom.ppf(0.999, draws, 0.05))
