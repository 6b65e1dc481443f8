"""The skew-normal fit against SciPy's own, its tail, and the calibration of its test."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_ndtr
from scipy.stats import binom, kstest, norm, skewnorm

from attacks.statistics import SkewNormal, fit_skew_normal, skew_normal_test

LONG = 2000


class TestDistribution:
    @pytest.mark.parametrize("shape", [-5.0, -0.7, 0.0, 1.3, 8.0])
    def test_it_is_scipys(self, shape: float) -> None:
        values = np.linspace(-3, 6, 40)
        assert SkewNormal(shape, 0.5, 2.0).cdf(values) == pytest.approx(
            skewnorm.cdf(values, shape, 0.5, 2.0), abs=1e-9
        )

    def test_without_skew_the_tail_is_the_normals_however_far_out(self) -> None:
        for value in (-3.0, 0.0, 3.0, 8.0, 40.0, 1000.0):
            assert SkewNormal(0.0, 0.0, 1.0).log_survival(value) == pytest.approx(norm.logsf(value), rel=1e-9)

    def test_far_to_the_right_a_right_skewed_one_is_twice_the_normal(self) -> None:
        assert SkewNormal(2.0, 0.0, 1.0).log_survival(12.0) == pytest.approx(
            math.log(2) + norm.logsf(12.0), rel=1e-9
        )

    def test_a_left_skewed_one_has_a_thinner_tail(self) -> None:
        # The tail of 2 phi(t) Phi(-2 t), integrated from its start with its own height taken out.
        start = -0.5 * 36 + float(log_ndtr(-12.0))
        rest, _ = quad(
            lambda t: math.exp(-0.5 * t * t + float(log_ndtr(-2 * t)) - start), 6, 9, epsabs=0, epsrel=1e-10
        )
        truth = math.log(2 / math.sqrt(2 * math.pi)) + start + math.log(rest)
        assert SkewNormal(-2.0, 0.0, 1.0).log_survival(6.0) == pytest.approx(truth, rel=1e-8)

    def test_its_draws_follow_it(self) -> None:
        draws = SkewNormal(-3.0, 1.0, 0.5).sample(np.random.default_rng(0), 4000)
        assert kstest(draws, skewnorm(-3.0, 1.0, 0.5).cdf).pvalue > 0.001
        assert kstest(draws, skewnorm(3.0, 1.0, 0.5).cdf).pvalue < 1e-6


class TestFit:
    @pytest.mark.parametrize("shape", [-4.0, 0.0, 1.0, 3.0])
    def test_no_other_fit_is_likelier(self, shape: float) -> None:
        values = skewnorm.rvs(shape, -40, 6, size=500, random_state=np.random.default_rng(1))
        found = fit_skew_normal(values)
        mine = skewnorm.logpdf(values, found.shape, found.location, found.scale).sum()
        others = [skewnorm.fit(values), (shape, -40, 6)]
        assert all(mine >= skewnorm.logpdf(values, *other).sum() - 1e-3 for other in others)

    def test_it_moves_with_the_units(self) -> None:
        values = skewnorm.rvs(2.0, size=400, random_state=np.random.default_rng(2))
        one, other = fit_skew_normal(values), fit_skew_normal(1000 * values - 5)
        assert other.shape == pytest.approx(one.shape, rel=1e-3)
        assert other.location == pytest.approx(1000 * one.location - 5, rel=1e-3)
        assert other.scale == pytest.approx(1000 * one.scale, rel=1e-3)

    def test_a_sample_more_skewed_than_the_family_still_has_a_fit(self) -> None:
        found = fit_skew_normal(np.random.default_rng(3).exponential(size=400))
        assert math.isfinite(found.location)
        assert found.shape > 5

    @pytest.mark.parametrize(("values", "message"), [([1.0, np.nan], "not finite"), ([2.0] * 9, "are equal")])
    def test_what_cannot_be_fitted_is_refused(self, values: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            fit_skew_normal(np.array(values))


class TestTest:
    def test_the_distance_is_that_of_the_fit(self) -> None:
        values = np.random.default_rng(4).normal(size=300)
        found = skew_normal_test(values, np.random.default_rng(5))
        fitted = found.fitted
        oracle = kstest(values, skewnorm(fitted.shape, fitted.location, fitted.scale).cdf)
        assert found.statistic == pytest.approx(oracle.statistic)

    def test_a_bad_fit_is_seen(self) -> None:
        rng = np.random.default_rng(6)
        twofold = np.concatenate([rng.normal(-3, 1, 200), rng.normal(3, 1, 200)])
        found = skew_normal_test(twofold, rng)
        assert (found.p, found.draws) == (1 / 200, 199)
        assert skew_normal_test(rng.standard_t(2, 1000), rng).p <= 0.05

    def test_a_good_fit_is_seen_early(self) -> None:
        rng = np.random.default_rng(7)
        draws = [skew_normal_test(rng.normal(size=200), rng).draws for _ in range(20)]
        assert np.median(draws) < 60


def rejections(rng: np.random.Generator, repetitions: int) -> int:
    """How often the fit is rejected at .05 where it is right."""
    count = 0
    for place in range(repetitions):
        shape = (-2.0, 0.0, 1.0, 4.0)[place % 4]
        count += skew_normal_test(SkewNormal(shape, -30.0, 4.0).sample(rng, 250), rng, 99).p <= 0.05
    return count


def test_a_right_fit_is_rarely_rejected() -> None:
    assert rejections(np.random.default_rng(20260306), 50) <= binom.ppf(0.999, 50, 0.05)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_right_fit_is_rarely_rejected_in_2000_draws() -> None:
    count = rejections(np.random.default_rng(20260307), LONG)
    print(f"rejected {count} of {LONG}")
    assert 69 <= count <= 131
