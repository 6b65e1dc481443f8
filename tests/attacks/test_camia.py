"""Known answers of CAMIA's signals, their p-values against non-members, and how these are combined."""

from typing import Literal

import numpy as np
import pytest
from scipy.stats import combine_pvalues, kstest

from attacks import attack
from attacks.camia import (
    COMBINATIONS,
    LONGEST,
    Combination,
    approximate_entropy,
    camia,
    lempel_ziv,
    signal_table,
    signals_of,
    slope,
    upper_p_values,
)
from tests.attacks.whole import whole_evidence

Method = Literal["fisher", "pearson", "mudholkar_george"]


def test_the_phrases_of_a_bit_string() -> None:
    assert lempel_ziv(np.array([1, 0, 0, 1, 1, 1])) == 4 / 6
    assert lempel_ziv(np.zeros(6, dtype=np.int64)) == 3 / 6


def test_a_straight_line_has_its_slope() -> None:
    assert slope(np.array([1.0, 1.5, 2.0, 2.5])) == pytest.approx(0.5)
    assert slope(np.array([3.0])) == 0.0


def test_noise_has_more_approximate_entropy_than_a_pattern() -> None:
    rng = np.random.default_rng(0)
    pattern, noise = np.tile([0.0, 1.0], 50), rng.normal(size=100)
    assert approximate_entropy(pattern) < 0.05 < approximate_entropy(noise, radius=0.2)
    assert approximate_entropy(np.ones(10)) == approximate_entropy(np.array([1.0, 2.0])) == 0.0


def test_null_p_values_are_uniform() -> None:
    rng = np.random.default_rng(1)
    # Many more non-members than records, or their own noise would be read as another distribution.
    found = upper_p_values(rng.normal(size=(2000, 3)), rng.normal(size=(40000, 3)))
    for column in found.T:
        assert kstest(column, "uniform").pvalue > 0.001
    assert found.min() >= 1 / 40001


def test_no_signal_of_a_nonmember_is_rare_too_often() -> None:
    rng = np.random.default_rng(7)
    evidence, known = (whole_evidence(rng, n, np.zeros(n, dtype=bool), 0) for n in (200, 2000))
    tables = [signal_table(part.target, part.repeated) for part in (evidence, known) if part.repeated]
    for column in upper_p_values(*tables).T:
        # Signals with ties have p-values above the uniform ones; none may lie below.
        assert kstest(column, "uniform", alternative="greater").pvalue > 0.001


def test_signals_of_a_record_by_hand() -> None:
    logp, token = np.array([-4.0, -2.0, -3.0, -1.0]), np.array([0, 1, 1, 1])
    found = signals_of(logp, token, np.array([-1.0, -2.0, -1.0, -1.0]))
    # Means of all, the first fifth and three tenths; the head above each level.
    assert found[:6].tolist() == [-2.5, -4.0, -3.0, 0.0, 0.0, 0.0]
    # In thirds of the range: 0 2 1 2, phrases 0, 2, 1 and the rest.
    assert found[6] == -1.0
    # Above the mean so far: -2 > -4, -3 = -3, -1 > -3. Sum over two different tokens.
    assert found[9:11].tolist() == [2 / 3, -5.0]
    assert found[15] == pytest.approx(slope(logp)) == 0.8
    # The second copy gains 1.25 on average, half of the loss, at two of four tokens.
    assert found[-3:].tolist() == [-1.25, -0.5, -0.5]


def test_signals_with_a_cut_off_end_at_a_thousand_tokens() -> None:
    rng = np.random.default_rng(8)
    logp = -rng.exponential(2, LONGEST + 500)
    token = np.zeros(len(logp), dtype=np.int64)
    other = logp.copy()
    other[LONGEST:] = -1.0
    same = signals_of(logp, token, logp) == signals_of(other, token, other)
    trends = slice(11, 17)
    assert same[trends].all()
    assert same[1:6].all()
    assert not same[0]


def test_the_default_is_named_beforehand() -> None:
    evidence = whole_evidence(np.random.default_rng(3), 12, np.arange(12) < 6)
    assert attack("camia").score(evidence).tolist() == camia("fisher").score(evidence).tolist()
    assert camia("george").id == "camia-george"


def test_no_sign_is_chosen_on_the_audited_records() -> None:
    # Other code turns each signal by its mean over the evaluation labels; a record's signals here
    # depend on that record alone.
    evidence = whole_evidence(np.random.default_rng(2), 12, np.arange(12) < 6)
    assert evidence.repeated is not None
    whole = signal_table(evidence.target, evidence.repeated)
    for place in (0, 11):
        one = evidence.take([place])
        assert one.repeated is not None
        np.testing.assert_allclose(signal_table(one.target, one.repeated)[0], whole[place], rtol=1e-12)


def test_every_combination_prefers_small_p_values() -> None:
    p = np.array([[0.01, 0.2], [0.5, 0.5], [1.0, 1.0]])
    for name, combine in COMBINATIONS.items():
        found = combine(p)
        assert np.isfinite(found).all(), name
        assert found[0] > found[1] > found[2], name


@pytest.mark.parametrize(
    ("name", "method"), [("fisher", "fisher"), ("pearson", "pearson"), ("george", "mudholkar_george")]
)
def test_combinations_are_those_of_the_literature(name: Combination, method: Method) -> None:
    p = np.random.default_rng(4).uniform(size=(5, 7))
    expected = [combine_pvalues(row, method).statistic for row in p]
    np.testing.assert_allclose(COMBINATIONS[name](p), expected, rtol=1e-12)
    assert COMBINATIONS["mean"](p)[0] == -p[0].mean()
