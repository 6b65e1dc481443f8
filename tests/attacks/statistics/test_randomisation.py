import itertools
import math

import numpy as np
import pytest

from attacks.statistics import UserScores, max_t, within_user_auc


def user(name: str, flags: list[int], *rows: list[float]) -> UserScores:
    return UserScores(name, np.array(flags, dtype=bool), np.array(rows, dtype=np.float64))


def noise(
    seed: int, users: int = 4, records: int = 12, models: int = 2, shift: float = 0.0
) -> list[UserScores]:
    """Users whose flips do not depend on the seed, and scores that do."""
    rng = np.random.default_rng(seed)
    flags = np.arange(records) % 3 == 0
    return [
        UserScores(f"u{i}", flags, rng.normal(size=(models, records)) + shift * flags) for i in range(users)
    ]


def exact_null(users: list[UserScores]) -> list[float]:
    """The mean AUC of every assignment of membership within users."""
    per_user = []
    for one in users:
        values = []
        for chosen in itertools.combinations(range(len(one.member)), one.members):
            flags = np.isin(np.arange(len(one.member)), chosen)
            wins = [
                np.mean((row[flags][:, None] > row[~flags]) + 0.5 * (row[flags][:, None] == row[~flags]))
                for row in one.scores
            ]
            values.append(float(np.mean(wins)))
        per_user.append(values)
    return [float(np.mean(combination)) for combination in itertools.product(*per_user)]


TIED_USERS = [
    user("a", [1, 1, 0, 0, 0], [3, 1, 2, 1, 0], [5, 2, 2, 1, 1]),
    user("b", [1, 0, 0, 1], [2, 1, 2, 2], [1, 0, 3, 2]),
]


def test_the_auc_is_the_mean_within_users() -> None:
    found = max_t({"x": noise(1), "y": noise(2)}, np.random.default_rng(0), draws=19)
    assert found["x"].auc == pytest.approx(within_user_auc(noise(1)).value, abs=1e-12)
    assert found["y"].auc == pytest.approx(within_user_auc(noise(2)).value, abs=1e-12)


def test_the_null_deviation_is_that_of_all_permutations_with_ties_and_several_models() -> None:
    found = max_t({"x": TIED_USERS}, np.random.default_rng(0), draws=19)["x"]
    assert found.null_sd == pytest.approx(np.std(exact_null(TIED_USERS)), rel=1e-10)


@pytest.mark.parametrize(("records", "sd"), [(50, 0.058), (100, 0.041), (500, 0.018)])
def test_the_null_deviation_has_known_answers(records: int, sd: float) -> None:
    one = UserScores("a", np.arange(2 * records) % 2 == 0, np.arange(2.0 * records)[None])
    found = max_t({"x": [one]}, np.random.default_rng(0), draws=19)["x"]
    assert found.null_sd == pytest.approx(math.sqrt((2 * records + 1) / (12 * records**2)), rel=1e-12)
    assert found.null_sd == pytest.approx(sd, abs=5e-4)


def test_the_p_value_approaches_that_of_all_permutations() -> None:
    null = exact_null(TIED_USERS)
    value = within_user_auc(TIED_USERS).value
    assert value is not None
    expected = np.mean([auc >= value - 1e-12 for auc in null])
    draws = 20_000
    found = max_t({"x": TIED_USERS}, np.random.default_rng(3), draws=draws)["x"]
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))
    both = np.mean([abs(auc - 0.5) >= abs(value - 0.5) - 1e-12 for auc in null])
    found = max_t({"x": TIED_USERS}, np.random.default_rng(4), draws=draws, two_sided=True)["x"]
    assert found.p == pytest.approx(both, abs=4 * math.sqrt(both * (1 - both) / draws))


def test_one_member_needs_no_adjustment() -> None:
    found = max_t({"x": noise(5)}, np.random.default_rng(0))["x"]
    assert found.p == found.p_adjusted


def test_copies_of_a_member_cost_nothing_and_strangers_do() -> None:
    # Copies share every permutation, so their maximum is one statistic; independent ones are five chances.
    scores = noise(6, shift=0.8)
    copies = max_t({str(i): scores for i in range(5)}, np.random.default_rng(1))
    assert all(found.p_adjusted == found.p == copies["0"].p for found in copies.values())
    strangers = max_t({"x": scores, **{str(i): noise(60 + i) for i in range(4)}}, np.random.default_rng(1))
    assert strangers["x"].p == copies["0"].p
    assert strangers["x"].p_adjusted > 2 * strangers["x"].p
    assert strangers["x"].detectable > copies["0"].detectable


def test_adjusted_values_are_never_smaller_and_keep_the_order() -> None:
    families = {str(i): noise(i, shift=0.2 * i) for i in range(6)}
    found = max_t(families, np.random.default_rng(2), draws=500)
    assert all(one.p_adjusted >= one.p for one in found.values())
    ordered = sorted(found.values(), key=lambda one: (one.auc - 0.5) / one.null_sd)
    adjusted = [one.p_adjusted for one in ordered]
    assert adjusted == sorted(adjusted, reverse=True)


def test_a_perfect_attack_has_the_smallest_p_and_no_smaller() -> None:
    flags = [1] * 10 + [0] * 10
    users = [user(str(i), flags, [*range(20, 0, -1)]) for i in range(4)]
    found = max_t({"x": users}, np.random.default_rng(0), draws=999)["x"]
    assert (found.auc, found.p, found.p_adjusted) == (1.0, 0.001, 0.001)


def test_a_leak_turned_over_is_seen_by_the_two_sided_test_alone() -> None:
    flags = [1] * 10 + [0] * 10
    users = [user(str(i), flags, [*range(20)]) for i in range(4)]
    assert max_t({"x": users}, np.random.default_rng(0), draws=999)["x"].p == 1.0
    assert max_t({"x": users}, np.random.default_rng(0), draws=999, two_sided=True)["x"].p == 0.001


def test_tied_scores_never_stand_out() -> None:
    tied = [user(f"u{i}", [1, 0, 1, 0], [1, 1, 1, 1]) for i in range(3)]
    found = max_t({"x": tied}, np.random.default_rng(0), draws=99)["x"]
    assert (found.p, found.p_adjusted, found.auc, found.null_sd) == (1.0, 1.0, 0.5, 0.0)
    assert found.detectable == math.inf


def test_what_could_have_been_seen_has_a_known_answer() -> None:
    # One member of the test, nearly normal: critical value 1.645, power .9 adds 1.282 null deviations.
    users = noise(7, users=10, records=60, models=1)
    found = max_t({"x": users}, np.random.default_rng(0), draws=20_000)["x"]
    assert found.detectable == pytest.approx(0.5 + (1.6449 + 1.2816) * found.null_sd, rel=0.01)


def test_reaching_the_critical_value_means_a_p_of_at_most_five_percent() -> None:
    for seed in range(40):
        found = max_t({"x": noise(seed, shift=0.5)}, np.random.default_rng(seed), draws=199)["x"]
        critical = found.detectable - 1.2815515655446004 * found.null_sd
        assert (found.p_adjusted <= 0.05) == (found.auc > critical + 1e-9)


def test_one_seed_gives_one_answer_in_any_order() -> None:
    users, other = noise(8), noise(9)
    first = max_t({"x": users, "y": other}, np.random.default_rng(5), draws=300)
    second = max_t({"y": other[::-1], "x": users[::-1]}, np.random.default_rng(5), draws=300)
    for name in "xy":
        assert first[name].p == second[name].p
        assert first[name].p_adjusted == second[name].p_adjusted
    assert first != max_t({"x": users, "y": other}, np.random.default_rng(6), draws=300)


def test_members_of_the_test_may_hold_different_users() -> None:
    found = max_t({"x": noise(10), "y": noise(11)[:2]}, np.random.default_rng(0), draws=99)
    assert found["y"].auc == pytest.approx(within_user_auc(noise(11)[:2]).value)


def test_users_without_a_side_are_left_out() -> None:
    users = noise(12)
    one_sided = user("lone", [1, 1], [0.1, 0.2])
    first = max_t({"x": users}, np.random.default_rng(0), draws=99)
    assert max_t({"x": [*users, one_sided]}, np.random.default_rng(0), draws=99) == first


def test_nothing_to_test_gives_nothing() -> None:
    assert max_t({}, np.random.default_rng(0)) == {}


def test_faults_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="draws: at least 19"):
        max_t({"x": noise(0)}, rng, draws=18)
    with pytest.raises(ValueError, match="loss: no user has both"):
        max_t({"loss": [user("a", [1, 1], [0, 1])]}, rng)
    with pytest.raises(ValueError, match="loss: a user is there twice"):
        max_t({"loss": [noise(0)[0], noise(0)[0]]}, rng)
    swapped = UserScores("u0", ~noise(0)[0].member, noise(0)[0].scores)
    with pytest.raises(ValueError, match="zlib: membership of user u0"):
        max_t({"loss": noise(0), "zlib": [swapped]}, rng)


def test_long_histories_are_permuted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.statistics.randomisation._BLOCK", 100)
    value = within_user_auc(TIED_USERS).value
    assert value is not None
    expected = np.mean([auc >= value - 1e-12 for auc in exact_null(TIED_USERS)])
    found = max_t({"x": TIED_USERS}, np.random.default_rng(7), draws=5000)["x"]
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 5000))
