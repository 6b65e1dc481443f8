"""The blind control: it finds a planted difference between texts, and nothing where there is none."""

import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from attacks.statistics import UserScores, auc, max_t, within_user_auc
from prime_audit.audit.blind import (
    BLIND,
    SPREAD,
    _groups,
    _words,
    blind_info,
    blind_result,
    blind_scores,
    date_numbers,
)
from tests.support import ROOT

Flags = NDArray[np.bool_]
VOCABULARY = [f"word{number}" for number in range(400)]


def some_texts(rng: np.random.Generator, count: int) -> list[str]:
    return [" ".join(rng.choice(VOCABULARY, size=12)) for _ in range(count)]


def owners(count: int, each: int = 10) -> list[str]:
    return [f"u{number // each}" for number in range(count)]


def by_user(users: list[str], member: Flags, scores: NDArray[np.float64]) -> list[UserScores]:
    owner = np.array(users)
    return [
        UserScores(user, member[owner == user], scores[owner == user][None]) for user in sorted(set(users))
    ]


@pytest.mark.parametrize("users", [owners(80), ["all"] * 80], ids=["by user", "by record"])
def test_another_topic_is_found(users: list[str]) -> None:
    rng = np.random.default_rng(1)
    member = rng.integers(0, 2, 80).astype(bool)
    texts = [
        text + (" garden flower" if flag else " engine wheel")
        for text, flag in zip(some_texts(rng, 80), member, strict=True)
    ]
    found = blind_scores(texts, member, users, None, seed=3)
    assert found.scores is not None
    assert auc(found.scores[member], found.scores[~member]) > 0.9
    assert found.reason == ("folds by user" if len(set(users)) > 1 else "folds by record")


@pytest.mark.parametrize("kind", ["length", "date"])
def test_another_length_or_date_is_found(kind: str) -> None:
    rng = np.random.default_rng(2)
    member = rng.integers(0, 2, 80).astype(bool)
    sizes = np.where(member, 30, 8) if kind == "length" else np.full(80, 12)
    texts = [" ".join(rng.choice(VOCABULARY, size=size)) for size in sizes]
    dates = date_numbers(
        [f"{2023 if flag else 2019}-05-{day % 28 + 1:02d}" for day, flag in enumerate(member)]
    )
    found = blind_scores(texts, member, ["all"] * 80, dates if kind == "date" else None, seed=3)
    assert found.scores is not None
    assert auc(found.scores[member], found.scores[~member]) > 0.9


def null_draw(seed: int, count: int = 60) -> list[UserScores]:
    """Fair coins over texts that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    member, users = rng.integers(0, 2, count).astype(bool), owners(count)
    found = blind_scores(some_texts(rng, count), member, users, None, seed)
    assert found.scores is not None
    return by_user(users, member, found.scores)


def test_without_a_difference_nothing_is_found_and_the_corrected_test_keeps_its_level() -> None:
    draws = 60
    aucs, rejected = [], 0
    for seed in range(draws):
        users = null_draw(seed)
        value = within_user_auc(users).value
        assert value is not None
        aucs.append(value)
        result = max_t({"blind": users}, np.random.default_rng(seed), draws=199, two_sided=True)["blind"]
        rejected += blind_result(result).p <= 0.05
    null_sd = result.null_sd * SPREAD
    assert abs(np.mean(aucs) - 0.5) < 3 * null_sd / sqrt(draws)
    # Binomial with 60 draws at .05: at most 9 with probability .998.
    assert rejected <= 9


@pytest.mark.long
def test_the_permutation_test_alone_would_cry_wolf() -> None:
    """Out-of-fold scores have read the labels of other records; what `blind_result` is for."""
    raw = corrected = 0
    for seed in range(300):
        users = null_draw(1000 + seed, 80)
        result = max_t({"blind": users}, np.random.default_rng(seed), draws=499, two_sided=True)["blind"]
        raw += result.p <= 0.05
        corrected += blind_result(result).p <= 0.05
    # Binomial with 300 draws at .05: mean 15, standard deviation 3.8.
    assert raw > 15 + 3 * 3.8
    assert corrected <= 15 + 3 * 3.8


def test_the_correction_widens_the_null_and_lowers_no_p_value() -> None:
    users = null_draw(3)
    result = max_t({"blind": users}, np.random.default_rng(0), draws=199, two_sided=True)["blind"]
    wider = blind_result(result)
    assert wider.null_sd == pytest.approx(sqrt(2) * result.null_sd)
    assert wider.detectable - 0.5 == pytest.approx(sqrt(2) * (result.detectable - 0.5))
    assert wider.p >= result.p
    assert wider.p_adjusted >= result.p_adjusted


def test_equal_arguments_give_equal_scores() -> None:
    rng = np.random.default_rng(5)
    texts, member = some_texts(rng, 60), rng.integers(0, 2, 60).astype(bool)
    first, again = (blind_scores(texts, member, ["all"] * 60, None, seed=9) for _ in range(2))
    other = blind_scores(texts, member, ["all"] * 60, None, seed=10)
    assert first.scores is not None
    assert again.scores is not None
    assert other.scores is not None
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.scores != other.scores).any()


def test_a_user_does_not_straddle_folds() -> None:
    """A word of each user's own that marks members within the user: it must help nobody."""
    rng = np.random.default_rng(6)
    member = rng.integers(0, 2, 120).astype(bool)
    users = owners(120, each=30)
    texts = [
        f"{text} {'mine' if flag else 'other'}{user}"
        for text, user, flag in zip(some_texts(rng, 120), users, member, strict=True)
    ]
    apart = blind_scores(texts, member, users, None, seed=3)
    together = blind_scores(texts, member, ["all"] * 120, None, seed=3)
    assert apart.scores is not None
    assert together.scores is not None
    mean = within_user_auc(by_user(users, member, apart.scores)).value
    assert mean is not None
    assert mean < 0.75
    assert auc(together.scores[member], together.scores[~member]) > 0.9


def test_records_with_the_same_words_stay_together() -> None:
    texts = ["One two three.", "one TWO three", "four five", "four, five!", "six"]
    words = [_words(text) for text in texts]
    groups, how = _groups(words, ["all"] * 5)
    assert groups.tolist() == [0, 0, 1, 1, 2]
    assert how == "folds by record"
    # The second and the third user share a text, so they are one; with them there are three groups.
    groups, how = _groups([("a",), ("b",), ("b",), ("c",)], ["u1", "u2", "u3", "u4"])
    assert len(set(groups.tolist())) == 3
    assert groups[1] == groups[2]
    assert how == "folds by user"


def test_users_tied_by_a_common_text_are_told_apart_by_record() -> None:
    rng = np.random.default_rng(8)
    texts = some_texts(rng, 40)
    for first in (0, 10, 20, 30):
        texts[first] = "everybody says this"
    member = np.arange(40) % 2 == 0
    found = blind_scores(texts, member, owners(40), None, seed=3)
    assert found.scores is not None
    assert found.reason == "folds by record"


@pytest.mark.parametrize(
    ("texts", "member", "reason"),
    [
        (["a b"] * 20, [True] * 4 + [False] * 16, "needs 5 members and 5 non-members"),
        (["a b"] * 20, [True] * 20, "needs 5 members and 5 non-members"),
        (["--"] * 20, [True, False] * 10, "no text holds one"),
        (["a b"] * 20, [True, False] * 10, "needs two folds"),
    ],
    ids=["few members", "one kind", "no words", "one text"],
)
def test_what_allows_no_fold_has_a_reason(texts: list[str], member: list[bool], reason: str) -> None:
    found = blind_scores(texts, np.array(member), ["all"] * 20, None, seed=3)
    assert found.scores is None
    assert reason in found.reason


def test_arguments_about_different_records_are_refused() -> None:
    with pytest.raises(ValueError, match="about the same records"):
        blind_scores(["a"], np.array([True, False]), ["u", "u"], None, seed=3)


def test_dates_become_days() -> None:
    days = date_numbers(["2020-01-02", "2020-01-01T12:00:00+02:00", "soon", None, "2019"])
    assert days is not None
    assert days[0] - days[1] == 1
    assert np.isnan(days[2:4]).all()
    assert 0 < days[1] - days[4] < 400
    assert date_numbers(["soon", None]) is None


def test_the_control_scores_no_evidence_and_is_listed_as_a_control() -> None:
    info = blind_info()
    assert (info.id, info.kind) == ("blind", "control") == (BLIND.id, BLIND.kind)
    with pytest.raises(ValueError, match="reads texts"):
        BLIND.signal(None)  # type: ignore[arg-type]


def test_it_loads_no_torch() -> None:
    code = (
        "import sys, numpy as np; from prime_audit.audit.blind import blind_scores; "
        "texts, member = [f'word{i} x' for i in range(20)], np.arange(20) % 2 == 0; "
        "found = blind_scores(texts, member, ['u'] * 20, None, 1); "
        "print(found.scores is not None, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
