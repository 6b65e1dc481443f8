"""Do the intervals cover, and does the test reject, as often as they say? Seeds were fixed beforehand.

The default tier draws few samples and allows what a binomial count exceeds once in a thousand; the long tier
draws 2,000 and holds the limits of record: coverage 93 to 97 %, at most 131 rejections at 5 %.
"""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom, norm

from attacks import ATTACKS, missing
from attacks.statistics import (
    Estimate,
    UserScores,
    max_t,
    mean_interval,
    newcombe_limits,
    sharers_interval,
    within_user_auc,
)
from tests.attacks.whole import whole_evidence

LONG = 2000
COVERED = (0.93 * LONG, 0.97 * LONG)
REJECTED = 131
SHARED = 0.6  # correlation of a record's scores under two models


def gaussian_users(
    rng: np.random.Generator, users: int, records: int, models: int = 1, effects: float | list[float] = 0.0
) -> list[UserScores]:
    """Users with as many members as non-members; a record's scores under several models are correlated."""
    flags = np.arange(2 * records) % 2 == 0
    shifts = np.broadcast_to(np.asarray(effects, dtype=np.float64), users)
    made = []
    for i in range(users):
        record = rng.normal(size=2 * records) * np.sqrt(SHARED)
        scores = record + np.sqrt(1 - SHARED) * rng.normal(size=(models, 2 * records)) + shifts[i] * flags
        made.append(UserScores(f"u{i}", flags, scores))
    return made


def true_auc(effect: float, spread: float = 0.0) -> float:
    """AUC of unit Gaussians this far apart, averaged over users whose distances have this deviation."""
    return float(norm.cdf(effect / np.sqrt(2 + spread**2)))


def covered(estimates: Iterator[Estimate], truth: float) -> int:
    count = 0
    for estimate in estimates:
        assert estimate.interval is not None
        count += estimate.interval.low <= truth <= estimate.interval.high
    return count


def noisy_copy(user: UserScores, rng: np.random.Generator, decimals: int) -> UserScores:
    scores = user.scores + rng.normal(size=user.scores.shape)
    return UserScores(user.user, user.member, np.round(scores, decimals))


def null_rejections(rng: np.random.Generator, repetitions: int, two_sided: bool = False) -> int:
    """How often the smallest adjusted p of five related attacks is at most .05, without any leak."""
    count = 0
    for _ in range(repetitions):
        base = gaussian_users(rng, 8, 10, models=2)
        families = {
            # The third attack is coarse, so that ties occur.
            str(i): [noisy_copy(user, rng, decimals=0 if i == 2 else 9) for user in base]
            for i in range(5)
        }
        found = max_t(families, rng, draws=199, two_sided=two_sided)
        count += min(one.p_adjusted for one in found.values()) <= 0.05
    return count


def power(rng: np.random.Generator, repetitions: int, effect: float) -> int:
    """How often the test sees a leak of this size in 8 users with 10 + 10 records."""
    found = (
        max_t({"x": gaussian_users(rng, 8, 10, effects=effect)}, rng, draws=199)["x"].p_adjusted
        for _ in range(repetitions)
    )
    return sum(p <= 0.05 for p in found)


def leaks_stated_by_the_suite(rng: np.random.Generator, studies: int, flips: int) -> int:
    """How often one test over every registered attack states a leak where nobody was learnt.

    Each study is 8 users of 20 records with every part of the evidence; its scores are kept while fair coins
    decide ``flips`` times anew who is a member, so given the scores each time is a draw of its own.
    """
    users, records, count = 8, 20, 0
    for _ in range(studies):
        evidence = whole_evidence(rng, users * records, np.zeros(users * records, dtype=bool))
        scores = {
            name: one.score(evidence).reshape(users, 1, records)
            for name, one in ATTACKS.items()
            if not missing(one, evidence)
        }
        assert len(scores) == len(ATTACKS)
        for _ in range(flips):
            member = rng.random((users, records)) < 0.5
            families = {
                name: [UserScores(f"u{i}", member[i], rows[i]) for i in range(users)]
                for name, rows in scores.items()
            }
            found = max_t(families, rng, draws=199)
            count += min(one.p_adjusted for one in found.values()) <= 0.05
    return count


# Users, records a side, models, distance of members.
PANELS = [
    (8, 10, 1, 0.0),
    (8, 10, 3, 0.0),
    (3, 12, 1, 0.0),
    (12, 20, 3, 0.0),
    (8, 10, 1, 0.6),
    (8, 10, 3, 1.2),
    (5, 12, 2, 0.6),
    (20, 12, 1, 0.0),
    (20, 12, 2, 0.6),
]


@pytest.mark.parametrize(("users", "records", "models", "effect"), PANELS)
def test_the_within_user_interval_covers(users: int, records: int, models: int, effect: float) -> None:
    rng = np.random.default_rng([20260201, users, records, models])
    found = (within_user_auc(gaussian_users(rng, users, records, models, effect)) for _ in range(100))
    assert binom.ppf(0.001, 100, 0.95) <= covered(found, true_auc(effect)) <= 100


@pytest.mark.long
@pytest.mark.parametrize(("users", "records", "models", "effect"), PANELS)
def test_the_within_user_interval_covers_in_2000_draws(
    users: int, records: int, models: int, effect: float
) -> None:
    rng = np.random.default_rng([20260202, users, records, models])
    found = (within_user_auc(gaussian_users(rng, users, records, models, effect)) for _ in range(LONG))
    assert COVERED[0] <= covered(found, true_auc(effect)) <= COVERED[1]


def sharers(rng: np.random.Generator, repetitions: int, count: int) -> Iterator[Estimate]:
    for _ in range(repetitions):
        effects = list(rng.normal(0.6, 0.5, count))
        yield sharers_interval(gaussian_users(rng, count, 12, 2, effects))


@pytest.mark.parametrize("count", [8, 20])
def test_the_interval_for_sharers_in_general_covers_their_population(count: int) -> None:
    # A t interval with 8 sharers, a bootstrap over sharers with 20.
    found = sharers(np.random.default_rng([20260203, count]), 100, count)
    assert covered(found, true_auc(0.6, 0.5)) >= binom.ppf(0.001, 100, 0.95)


@pytest.mark.long
@pytest.mark.parametrize("count", [6, 8, 12, 20])
def test_the_interval_for_sharers_in_general_covers_in_2000_draws(count: int) -> None:
    found = sharers(np.random.default_rng([20260204, count]), LONG, count)
    assert COVERED[0] <= covered(found, true_auc(0.6, 0.5)) <= COVERED[1]


@pytest.mark.long
@pytest.mark.parametrize(("records", "effect"), [(5, 0.0), (10, 0.0), (12, 1.2), (20, 0.6)])
def test_one_small_user_is_covered_at_least_as_often_as_stated(records: int, effect: float) -> None:
    rng = np.random.default_rng([20260205, records])
    found = (within_user_auc(gaussian_users(rng, 1, records, 1, effect)) for _ in range(LONG))
    # The score interval may be cautious, so only the lower limit binds.
    assert covered(found, true_auc(effect)) >= COVERED[0]


@pytest.mark.long
def test_all_users_are_covered_at_once_at_a_bonferroni_level() -> None:
    rng = np.random.default_rng(20260206)
    every = 0
    for _ in range(LONG):
        users = gaussian_users(rng, 8, 12, 1, 0.6)
        every += covered((within_user_auc([one], 1 - 0.05 / 8) for one in users), true_auc(0.6)) == 8
    assert every >= COVERED[0]


def test_the_test_rejects_no_more_than_it_says() -> None:
    assert null_rejections(np.random.default_rng(20260207), 100) <= binom.ppf(0.999, 100, 0.05)


@pytest.mark.long
@pytest.mark.parametrize("two_sided", [False, True])
def test_the_test_rejects_no_more_than_it_says_in_2000_draws(two_sided: bool) -> None:
    rng = np.random.default_rng([20260208, two_sided])
    assert null_rejections(rng, LONG, two_sided) <= REJECTED


def test_the_whole_suite_states_no_more_leaks_than_it_says() -> None:
    stated = leaks_stated_by_the_suite(np.random.default_rng(20260216), studies=2, flips=25)
    assert stated <= binom.ppf(0.999, 50, 0.05)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_whole_suite_states_no_more_leaks_than_it_says_in_2000_draws() -> None:
    stated = leaks_stated_by_the_suite(np.random.default_rng(20260217), studies=200, flips=10)
    assert stated <= REJECTED


def test_a_leak_of_the_planned_size_is_seen() -> None:
    seen = power(np.random.default_rng(20260209), 100, 0.6)
    assert seen >= binom.ppf(0.001, 100, 0.97)


@pytest.mark.long
def test_a_leak_of_the_planned_size_is_seen_97_times_in_100() -> None:
    seen = power(np.random.default_rng(20260210), 1000, 0.6)
    assert seen / 1000 == pytest.approx(0.97, abs=0.02)


@pytest.mark.long
def test_what_could_have_been_seen_is_seen_nine_times_in_ten() -> None:
    rng = np.random.default_rng(20260211)
    planned = max_t({"x": gaussian_users(rng, 8, 10)}, rng)["x"].detectable
    seen = power(rng, 1000, float(np.sqrt(2) * norm.ppf(planned)))
    assert 0.87 <= seen / 1000 <= 0.95


@pytest.mark.long
def test_the_paired_interval_covers_in_2000_draws() -> None:
    rng = np.random.default_rng(20260212)
    found = (mean_interval(rng.normal(0.3, 1.0, 6)) for _ in range(LONG))
    assert COVERED[0] <= covered(found, 0.3) <= COVERED[1]


@pytest.mark.long
@pytest.mark.parametrize(("value", "records"), [(1.0, 12), (0.0, 40)])
def test_the_score_interval_of_an_extreme_auc_agrees_with_its_own_model(value: float, records: int) -> None:
    # At the limit an AUC this extreme must be rare under the formula's exponential populations.
    low, high = newcombe_limits(value, [(records, records)], 0.95)
    truth = low if value == 1.0 else 1 - high
    rng = np.random.default_rng([20260213, records])
    members = rng.exponential(truth / (1 - truth), (20_000, records)).min(axis=1)
    nonmembers = rng.exponential(1.0, (20_000, records)).max(axis=1)
    assert np.mean(members > nonmembers) <= 0.05


def test_a_full_size_test_is_quick() -> None:
    rng = np.random.default_rng(20260214)
    families = {str(i): gaussian_users(rng, 12, 20, 3) for i in range(30)}
    start = time.perf_counter()
    max_t(families, rng, draws=2000)
    assert time.perf_counter() - start < 2


def test_quantised_scores_are_no_reason_for_false_leaks() -> None:
    # Score grids of a few levels, which break a test that ranks without ties.
    rng = np.random.default_rng(20260215)
    rejected = 0
    for _ in range(100):
        users = [
            UserScores(u.user, u.member, np.round(u.scores)) for u in gaussian_users(rng, 5, 8, models=1)
        ]
        rejected += max_t({"x": users}, rng, draws=99)["x"].p <= 0.05
    assert rejected <= binom.ppf(0.999, 100, 0.05)
