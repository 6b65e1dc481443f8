"""Known answers of the shadow attacks, and what other implementations get wrong."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from attacks import Evidence, ShadowScores, TokenScores, attack
from attacks.arrays import FloatArray
from attacks.shadow_attacks import (
    Side,
    normal_log_density,
    posterior_log_density,
    prior_probability,
    rmia,
    share_beaten,
    side_of,
    spread_of,
)


def target(*phi: float) -> TokenScores:
    count = len(phi)
    return TokenScores(
        offsets=np.arange(count + 1),
        logp=np.array(phi),
        mean_logp=np.full(count, -1.0),
        std_logp=np.ones(count),
        is_argmax=np.zeros(count, dtype=bool),
        token=np.zeros(count, dtype=np.int64),
        compressed_bytes=np.ones(count, dtype=np.int64),
    )


def shadows(out: list[list[float]], inside: list[list[float]]) -> ShadowScores:
    """One column per record: the scores without it, then those with it."""
    columns = [[*o, *i] for o, i in zip(out, inside, strict=True)]
    keep = [[False] * len(o) + [True] * len(i) for o, i in zip(out, inside, strict=True)]
    return ShadowScores(np.array(columns, dtype=np.float64).T, np.array(keep).T)


def a_side(*columns: list[float]) -> Side:
    phi = np.array(columns, dtype=np.float64).T
    return side_of(ShadowScores(phi, np.ones(phi.shape, dtype=bool)), np.ones(phi.shape, dtype=bool), "held")


class TestLira:
    def test_densities(self) -> None:
        one = np.ones(1)
        llr = normal_log_density(4 * one, 5 * one, one) - normal_log_density(4 * one, one, one)
        assert llr == pytest.approx(4.0)
        assert -normal_log_density(one, 2 * one, one)[0] == pytest.approx(1.41893853)

    def test_offline_is_one_sided(self) -> None:
        # Scores without the record 0 and 2: mean 1, and with ddof 1 a spread of sqrt 2.
        evidence = Evidence(
            target(-1.0, -5.0), shadows=shadows([[-4.0, -2.0], [-4.0, -2.0]], [[-3.0], [-3.0]])
        )
        high, low = np.exp(attack("lira-offline").score(evidence))
        assert high == pytest.approx(ndtr(np.sqrt(2)))
        assert high == pytest.approx(0.9214, abs=1e-4)
        assert low == pytest.approx(1 - high)
        # A two-sided density would rate both alike.
        spread = np.sqrt(2)
        assert norm.pdf(-1, -3, spread) == norm.pdf(-5, -3, spread)

    def test_the_example_of_a_spread_without_correction(self) -> None:
        # Phi(2) = .97725 belongs to ddof 0; the formula is the same.
        assert ndtr((3 - 1) / np.std([0.0, 2.0])) == pytest.approx(0.977250, abs=1e-6)

    def test_residuals_are_pooled_after_each_records_mean_is_removed(self) -> None:
        # Records differ in their mean by far more than shadows do.
        side = a_side([-1.0, -3.0], [-101.0, -103.0])
        assert side.pooled_variance() == pytest.approx(2.0)
        assert spread_of(side, 50.0).tolist() == pytest.approx([np.sqrt(2), np.sqrt(2)])

    def test_each_side_has_its_own_spread(self) -> None:
        # Other code takes the spread with the record for both sides.
        wide, narrow = [[-5.0, -1.0]], [[-3.1, -2.9]]
        found = attack("lira").score(Evidence(target(-3.0), shadows=shadows(wide, narrow)))
        expected = norm.logpdf(-3, -3, np.std([3.1, 2.9], ddof=1)) - norm.logpdf(
            -3, -3, np.std([5, 1], ddof=1)
        )
        assert found == pytest.approx(expected)

    def test_with_many_shadows_the_spread_is_the_records_own(self) -> None:
        rng = np.random.default_rng(0)
        columns = [rng.normal(0, scale, 40).tolist() for scale in (1.0, 5.0)]
        spread = spread_of(a_side(*columns), 3.0)
        assert spread == pytest.approx([np.std(column, ddof=1) for column in columns])

    def test_shadows_without_spread_give_moderate_scores(self) -> None:
        # A floor of 1e-30 would give scores of 1e60.
        flat = shadows([[-3.0] * 4, [-2.0] * 4], [[-3.0] * 4, [-2.0] * 4])
        for name in ("lira", "lira-offline", "bavaria"):
            found = attack(name).score(Evidence(target(-2.9, -2.0), shadows=flat))
            assert np.isfinite(found).all()
            assert np.abs(found).max() < 1e6

    @pytest.mark.parametrize("name", ["lira", "lira-offline", "bavaria", "rmia", "rmia-offline"])
    def test_a_record_that_every_shadow_holds_is_named_not_dropped(self, name: str) -> None:
        keep = np.array([[True, True], [True, False]])
        phi = np.array([[-1.0, -2.0], [-1.1, -2.1]])
        known = Evidence(target(-1.0), shadows=ShadowScores(phi[:, :1], np.zeros((2, 1), dtype=bool)))
        evidence = Evidence(target(-1.0, -2.0), shadows=ShadowScores(phi, keep), population=known)
        with pytest.raises(
            ValueError, match=r"1 records lack a shadow that left out the record \(positions 0\)"
        ):
            attack(name).score(evidence)


class TestRmia:
    def test_the_average_of_the_offline_formula(self) -> None:
        average = prior_probability(np.array([0.4]), 0.3)
        assert average == pytest.approx(0.61)
        assert 0.5 / average == pytest.approx(0.819672, abs=1e-6)
        assert prior_probability(np.array([0.4]), 1.0) == pytest.approx(0.4)

    def test_the_share_of_beaten_nonmembers(self) -> None:
        assert share_beaten(np.array([0.819672]), np.array([0.5, 0.9, 0.8]), 1.0) == pytest.approx(2 / 3)
        assert share_beaten(np.array([0.819672]), np.array([0.5, 0.9, 0.8]), 1.5) == pytest.approx(1 / 3)

    def test_shadows_that_hold_the_record_count_nothing_offline(self) -> None:
        # Of three shadows one leaves the record out, at .4; padding with zeros would make that .2.
        p = np.array([[0.4], [0.9], [0.8]])
        keep = np.array([[False], [True], [True]])
        side = side_of(ShadowScores(p, keep), ~keep, "left out")
        assert (side.mean.tolist(), side.count.tolist()) == ([0.4], [1.0])

    def test_the_whole_attack_against_a_plain_loop(self) -> None:
        rng = np.random.default_rng(1)
        phi, phi_z = -rng.exponential(1, (8, 6)), -rng.exponential(1, (8, 5))
        keep = np.array([[(i + j) % 2 == 0 for j in range(6)] for i in range(8)])
        own, known = -rng.exponential(1, 6), -rng.exponential(1, 5)
        population = Evidence(target(*known), shadows=ShadowScores(phi_z, np.zeros((8, 5), dtype=bool)))
        evidence = Evidence(target(*own), shadows=ShadowScores(phi, keep), population=population)
        for online in (True, False):
            found = rmia(1.2, online=online).score(evidence)
            for j in range(6):
                out = np.exp(phi[~keep[:, j], j]).mean()
                average = (out + np.exp(phi[keep[:, j], j]).mean()) / 2 if online else out
                ratios = [
                    np.exp(own[j]) / average / (np.exp(known[z]) / np.exp(phi_z[:, z]).mean())
                    for z in range(5)
                ]
                assert found[j] == np.mean([ratio >= 1.2 for ratio in ratios])


class TestBase:
    def test_shadows_that_equal_the_target_tell_nothing(self) -> None:
        same = shadows([[-2.0] * 3], [[-2.0] * 3])
        assert attack("base-mia").score(Evidence(target(-2.0), shadows=same)) == pytest.approx(0.0)

    def test_it_is_the_log_ratio_to_the_mean_probability(self) -> None:
        some = shadows([[-1.0, -3.0]], [[-2.0]])
        found = attack("base-mia").score(Evidence(target(-2.0), shadows=some))
        assert found == pytest.approx(-2.0 - np.log(np.mean(np.exp([-1.0, -3.0, -2.0]))))


class TestBavaria:
    def test_the_posterior_predictive_density(self) -> None:
        found = posterior_log_density(np.array([3.0]), a_side([0.0, 2.0]), np.zeros(1), 1.0)
        assert found == pytest.approx(-2.773268, abs=1e-6)

    def test_fewer_shadows_make_it_more_cautious(self) -> None:
        def ratio(count: int) -> FloatArray:
            rng = np.random.default_rng(2)
            out, inside = rng.normal(-3, 0.1, count).tolist(), rng.normal(-1, 0.1, count).tolist()
            return attack("bavaria").score(Evidence(target(-1.0), shadows=shadows([out], [inside])))

        assert 0 < ratio(2) < ratio(20)


class TestShapes:
    def test_arrays_that_do_not_belong_together_are_refused(self) -> None:
        phi, keep = np.zeros((2, 3)), np.zeros((2, 3), dtype=bool)
        with pytest.raises(ValueError, match="keep: expected bool of shape"):
            ShadowScores(phi, keep[:, :2])
        with pytest.raises(ValueError, match="not finite"):
            ShadowScores(phi * np.nan, keep)
        with pytest.raises(ValueError, match="there is no shadow"):
            ShadowScores(phi[:0], keep[:0])
        with pytest.raises(ValueError, match="expected two axes"):
            ShadowScores(phi[0], keep[0])
        with pytest.raises(ValueError, match="shadows: has 3 records, not 1"):
            Evidence(target(-1.0), shadows=ShadowScores(phi, keep))
