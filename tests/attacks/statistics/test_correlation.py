import numpy as np
import pytest
from scipy.stats import spearmanr

from attacks.statistics import rank_correlation, standardised_gap


def test_it_is_spearmans_with_ties() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 60).astype(float)
    y = x + rng.normal(size=60)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert rank_correlation(x, -x) == pytest.approx(-1.0)


def test_the_partial_correlation_is_the_textbook_formula() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=80)
    x, y = z + rng.normal(size=80), -z + rng.normal(size=80)
    xy, xz, yz = (float(spearmanr(*pair).statistic) for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert rank_correlation(x, y, [z]) == pytest.approx(expected)


def test_a_common_cause_explains_a_correlation_away() -> None:
    rng = np.random.default_rng(2)
    plain, partial = [], []
    for _ in range(50):
        z = rng.normal(size=60)
        x, y = z + 0.3 * rng.normal(size=60), z + 0.3 * rng.normal(size=60)
        plain.append(rank_correlation(x, y))
        partial.append(rank_correlation(x, y, [z]))
    assert np.mean(np.array(plain, dtype=float)) > 0.8
    assert abs(np.mean(np.array(partial, dtype=float))) < 0.1


def test_it_is_undefined_where_nothing_varies() -> None:
    x = np.arange(5.0)
    assert rank_correlation(x, np.ones(5)) is None
    assert rank_correlation(x, x**3, [x]) is None
    assert rank_correlation(x[:2], x[:2]) is None
    with pytest.raises(ValueError, match="differ in length"):
        rank_correlation(x, x[:4])


def test_the_gap_is_in_pooled_standard_deviations() -> None:
    # Means 3 and 1, variances 1 and 1.
    assert standardised_gap(np.array([2.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(2.0)
    assert standardised_gap(np.array([1.0, 1.0]), np.array([1.0, 1.0])) is None
    assert standardised_gap(np.array([1.0]), np.array([1.0, 2.0])) is None
