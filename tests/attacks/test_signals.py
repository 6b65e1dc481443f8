"""Known answers of the five attacks, and the defects of other toolkits that must not come back."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from attacks import (
    Attack,
    Evidence,
    TokenScores,
    attack,
    floored_share,
    min_k,
    min_k_plus_plus,
    usable,
)
from attacks.arrays import FloatArray
from attacks.likelihood import SIGMA_FLOOR, lowest_mean, z_scores
from attacks.statistics import auc


def scores(*records: list[float], mean: float = -1.0, std: float = 1.0, size: int = 20) -> TokenScores:
    logp = np.array([value for record in records for value in record], dtype=np.float64)
    return TokenScores(
        offsets=np.cumsum([0, *(len(record) for record in records)], dtype=np.int64),
        logp=logp,
        mean_logp=np.full(len(logp), mean),
        std_logp=np.full(len(logp), std),
        is_argmax=np.zeros(len(logp), dtype=bool),
        token=np.zeros(len(logp), dtype=np.int64),
        compressed_bytes=np.full(len(records), size, dtype=np.int64),
    )


def one(name: str, *records: list[float]) -> FloatArray:
    return attack(name).score(Evidence(scores(*records), scores(*records)))


def random_evidence(rng: np.random.Generator, records: int = 12) -> Evidence:
    rows = [(-rng.exponential(2, size=int(n))).tolist() for n in rng.integers(1, 30, records)]
    others = [(-rng.exponential(2, size=len(row))).tolist() for row in rows]
    return Evidence(scores(*rows, mean=-2.0, std=1.5), scores(*others))


class TestLoss:
    def test_it_is_the_mean_log_probability(self) -> None:
        assert one("loss", [-1.0, -3.0]).tolist() == [-2.0]

    def test_a_uniform_model_gives_minus_log_of_the_vocabulary(self) -> None:
        uniform = -float(np.log(512))
        np.testing.assert_allclose(one("loss", [uniform] * 7, [uniform]), uniform, rtol=1e-15)

    def test_length_does_not_matter(self) -> None:
        # The sum, as PriME's own script takes it, would rank the longer record lower.
        assert one("loss", [-1.0], [-1.0] * 9).tolist() == [-1.0, -1.0]

    def test_the_first_token_number_and_zero_losses_count(self) -> None:
        # Others drop tokens whose id is 0 or whose loss is 0.
        assert one("loss", [0.0, -2.0]).tolist() == [-1.0]


class TestZlib:
    def test_it_is_the_sum_over_the_bytes_of_the_text(self) -> None:
        size = len(zlib.compress(b"a" * 100))
        evidence = Evidence(scores([-5.0, -7.0], size=size))
        assert attack("zlib").score(evidence).tolist() == [-12.0 / size]

    def test_bytes_are_not_taken_per_character(self) -> None:
        # Of two records with one log-probability the better compressible one must be the more surprising.
        two = replace(scores([-6.0], [-6.0]), compressed_bytes=np.array([12, 60]))
        low, high = attack("zlib").score(Evidence(two))
        assert (low, high) == (-0.5, -0.1)


class TestMinK:
    def test_it_is_the_mean_of_the_least_likely_tokens(self) -> None:
        tokens = [-0.1, -0.2, -3.0, -5.0, -0.3]
        assert min_k(0.4).score(Evidence(scores(tokens))).tolist() == [-4.0]

    def test_it_is_not_the_mean_of_the_likeliest_tokens(self) -> None:
        # Sorting losses upwards and taking the first averages the wrong end.
        tokens = [-0.1, -0.2, -3.0, -5.0, -0.3]
        assert min_k(0.4).score(Evidence(scores(tokens)))[0] != pytest.approx(-0.15)

    @pytest.mark.parametrize("length", [1, 2, 3, 4])
    def test_a_short_record_gives_its_least_likely_token(self, length: int) -> None:
        tokens = [-float(i) for i in range(1, length + 1)]
        assert min_k(0.2).score(Evidence(scores(tokens))).tolist() == [-float(length)]

    def test_all_tokens_give_the_loss(self) -> None:
        evidence = random_evidence(np.random.default_rng(0))
        np.testing.assert_allclose(min_k(1.0).score(evidence), attack("loss").score(evidence), rtol=1e-12)

    def test_records_do_not_mix(self) -> None:
        evidence = random_evidence(np.random.default_rng(1))
        expected = [
            np.sort(evidence.target.logp[evidence.target.record(i)])[: max(1, length // 5)].mean()
            for i, length in enumerate(evidence.target.lengths)
        ]
        np.testing.assert_allclose(attack("min-k").score(evidence), expected, rtol=1e-12)

    def test_the_share_survives_its_binary_rounding(self) -> None:
        values = -np.arange(100.0)
        # 0.29 * 100 is 28.999999999999996 in binary.
        assert lowest_mean(values, np.array([0, 100]), 0.29)[0] == -np.arange(71, 100).mean()

    @pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
    def test_a_share_outside_its_range_is_refused(self, share: float) -> None:
        with pytest.raises(ValueError, match="share"):
            min_k(share)
        with pytest.raises(ValueError, match="share"):
            min_k_plus_plus(share)


class TestMinKPlusPlus:
    # p = (.9, .1): mean of log p under p, its standard deviation, and z = +1/3 and -3.
    p = np.array([0.9, 0.1])
    mean = float((p * np.log(p)).sum())
    std = float(np.sqrt((p * np.log(p) ** 2).sum() - mean**2))

    def test_the_distribution_has_the_known_moments(self) -> None:
        assert self.mean == pytest.approx(-0.325083, abs=1e-6)
        assert self.std == pytest.approx(0.659167, abs=1e-6)

    @pytest.mark.parametrize(("probability", "z"), [(0.9, 1 / 3), (0.1, -3.0)])
    def test_it_standardises_by_the_distribution_itself(self, probability: float, z: float) -> None:
        evidence = scores([float(np.log(probability))], mean=self.mean, std=self.std)
        assert z_scores(evidence)[0] == pytest.approx(z, rel=1e-12)
        # The unweighted mean over the vocabulary would give +-0.7071.
        assert abs(z_scores(evidence)[0]) != pytest.approx(np.sqrt(0.5), abs=1e-2)

    def test_it_averages_the_lowest(self) -> None:
        tokens = [float(np.log(q)) for q in (0.9, 0.1, 0.9, 0.9, 0.9)]
        evidence = Evidence(scores(tokens, mean=self.mean, std=self.std))
        assert min_k_plus_plus(0.2).score(evidence)[0] == pytest.approx(-3.0)
        assert min_k_plus_plus(0.4).score(evidence)[0] == pytest.approx((1 / 3 - 3) / 2)

    def test_a_one_hot_distribution_stays_finite_and_is_counted(self) -> None:
        one_hot = replace(scores([0.0, -2.0], mean=0.0), std_logp=np.array([0.0, 1.0]))
        assert z_scores(one_hot).tolist() == [0.0, -2.0]
        assert floored_share(one_hot) == 0.5
        surprised = replace(scores([-2.0], mean=0.0), std_logp=np.array([0.0]))
        assert z_scores(surprised).tolist() == [-2.0 / SIGMA_FLOOR]
        assert floored_share(scores()) == 0.0


class TestReference:
    def test_it_is_the_difference_of_mean_log_probabilities(self) -> None:
        evidence = Evidence(scores([-1.0, -3.0], [-1.0]), scores([-2.0, -3.0], [-4.0]))
        assert attack("reference").score(evidence).tolist() == [0.5, 3.0]

    def test_against_itself_every_record_is_zero_and_the_auc_one_half(self) -> None:
        target = random_evidence(np.random.default_rng(2)).target
        found = attack("reference").score(Evidence(target, target))
        assert (found == 0).all()
        assert auc(found[:4], found[4:]) == 0.5

    def test_it_needs_the_reference(self) -> None:
        evidence = Evidence(scores([-1.0]))
        with pytest.raises(ValueError, match="needs reference, which this evidence does not hold"):
            attack("reference").score(evidence)
        with pytest.raises(ValueError, match="needs reference, which this evidence does not hold"):
            usable(attack("reference"), evidence)


def test_a_score_that_is_not_finite_is_refused() -> None:
    broken = Attack("broken", "A2", (), "none", 1, lambda evidence: evidence.target.sum() * np.nan)
    with pytest.raises(ValueError, match="attack broken: a score is not finite"):
        broken.score(Evidence(scores([-1.0])))


def test_the_fewest_tokens_are_the_attacks_own() -> None:
    picky = replace(attack("loss"), min_tokens=3)
    assert usable(picky, Evidence(scores([-1.0] * 2, [-1.0] * 3))).tolist() == [False, True]


def test_an_unknown_attack_is_answered_with_those_that_exist() -> None:
    with pytest.raises(KeyError, match=r"no attack is called 'losss'; there are: loss, loss-sum, zlib"):
        attack("losss")
