"""What the shadow attacks are for: hard records, published vectors, and settings that would undo them."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from attacks import Evidence, ShadowScores, TokenScores, attack
from attacks.arrays import BoolArray, FloatArray
from attacks.shadow_attacks import rmia
from attacks.statistics import auc

NAMES = ["lira", "lira-offline", "rmia", "rmia-offline", "base-mia", "bavaria"]
SHADOWS = 8


def one_token(phi: FloatArray) -> TokenScores:
    """Records of one token, so that phi is its log-probability."""
    count = len(phi)
    return TokenScores(
        offsets=np.arange(count + 1),
        logp=np.asarray(phi, dtype=np.float64),
        mean_logp=np.full(count, -1.0),
        std_logp=np.ones(count),
        is_argmax=np.zeros(count, dtype=bool),
        token=np.zeros(count, dtype=np.int64),
        compressed_bytes=np.ones(count, dtype=np.int64),
    )


def column(inside: FloatArray, outside: FloatArray) -> ShadowScores:
    """Shadow scores of one record."""
    phi = np.concatenate([inside, outside])[:, None]
    return ShadowScores(phi, (np.arange(len(phi)) < len(inside))[:, None])


def exactly(mean: float, deviation: float, count: int = 40) -> FloatArray:
    """Values whose mean and standard deviation (ddof 1) are exactly these."""
    values = np.random.default_rng(0).normal(size=count)
    return np.asarray(mean + deviation * (values - values.mean()) / values.std(ddof=1))


def uneven_records(
    rng: np.random.Generator, member: BoolArray, gain: float, population: int = 1000
) -> Evidence:
    """Records that differ in difficulty by far more than training changes them.

    Whether a shadow holds a record is independent of whether the target does.
    """
    count = len(member)
    hard = rng.uniform(-6, -1, count)
    half = np.arange(count) % 2 == 0
    sides = [rng.permutation(half) for _ in range(SHADOWS // 2)]
    keep = np.array([one for side in sides for one in (side, ~side)])
    phi = hard + gain * keep + rng.normal(0, 0.05, keep.shape)
    own = hard + gain * member + rng.normal(0, 0.05, count)
    others = rng.uniform(-6, -1, population)
    nobody = np.zeros((SHADOWS, population), dtype=bool)
    return Evidence(
        one_token(own),
        shadows=ShadowScores(phi, keep),
        population=Evidence(
            one_token(others + rng.normal(0, 0.05, population)),
            shadows=ShadowScores(others + rng.normal(0, 0.05, nobody.shape), nobody),
        ),
    )


@pytest.fixture(scope="module")
def planted() -> Evidence:
    return uneven_records(np.random.default_rng(1), np.arange(400) < 200, 0.4)


@pytest.mark.parametrize("name", NAMES)
def test_hard_and_easy_members_are_found_alike(name: str, planted: Evidence) -> None:
    loss = attack("loss").score(planted)
    assert auc(loss[:200], loss[200:]) < 0.65
    found = attack(name).score(planted)
    assert auc(found[:200], found[200:]) >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_hard_and_easy_records_that_nobody_learnt_are_told_apart_by_nothing(name: str) -> None:
    evidence = uneven_records(np.random.default_rng(2), np.arange(400) < 200, 0.0)
    found = attack(name).score(evidence)
    assert abs(auc(found[:200], found[200:]) - 0.5) < 3 * np.sqrt(401 / (12 * 200 * 200))


def test_lira_in_n_5_1_out_n_1_1_at_4() -> None:
    evidence = Evidence(one_token(np.array([-4.0])), shadows=column(exactly(-3, 1), exactly(-7, 1)))
    # Moved down by 8, since log-probabilities are not above zero.
    assert attack("lira").score(evidence)[0] == pytest.approx(4.0)


@pytest.mark.parametrize(("deviation", "expected"), [(1.0, 1.41893853), (10.0, 3.72152363)])
def test_the_published_vectors_one_deviation_off(deviation: float, expected: float) -> None:
    # The side that holds the record sits at the target with deviation 1: its density is known.
    own = -50.0
    shadows = column(exactly(own, 1), exactly(own + deviation, deviation))
    ratio = attack("lira").score(Evidence(one_token(np.array([own])), shadows=shadows))[0]
    assert ratio + 0.5 * np.log(2 * np.pi) == pytest.approx(expected, abs=1e-8)


def test_a_target_far_below_the_shadows_is_no_member_offline() -> None:
    shadows = column(exactly(-3, 0.1), exactly(-3, 0.1))
    below, above = (
        attack("lira-offline").score(Evidence(one_token(np.array([phi])), shadows=shadows))[0]
        for phi in (-9.0, -2.5)
    )
    assert below < -100
    assert above == pytest.approx(0.0, abs=1e-5)


def test_pooling_without_each_records_mean_would_hide_the_members(planted: Evidence) -> None:
    # Records spread by about 1.5, residuals by .05: the former as a pooled spread would give z of .3.
    assert planted.shadows is not None
    z_members = attack("lira-offline").score(planted)[:200]
    assert np.exp(z_members).min() > 0.99
    assert planted.shadows.phi.std() > 1


def test_the_setting_for_class_probabilities_makes_rmia_the_loss_attack(planted: Evidence) -> None:
    loss = attack("loss").score(planted)
    for a, alike in ((0.3, True), (1.0, False)):
        found = rmia(online=False, offline_a=a).score(planted)
        assert (spearmanr(found, loss).statistic > 0.95) == alike
        assert (auc(found[:200], found[200:]) > 0.9) != alike


def test_base_orders_as_rmia_does_over_many_known_nonmembers() -> None:
    # Held by as many shadows as not, the averages of both are the same.
    evidence = uneven_records(np.random.default_rng(3), np.arange(200) < 100, 0.2, population=20_000)
    base, ratio = (attack(name).score(evidence) for name in ("base-mia", "rmia"))
    inside = (ratio > 0) & (ratio < 1)
    assert inside.sum() > 50
    assert spearmanr(base[inside], ratio[inside]).statistic > 0.999


@pytest.mark.parametrize("name", ["lira", "lira-offline", "bavaria"])
def test_equal_shadows_do_not_outvote_everything(name: str) -> None:
    # One record whose shadows agree to the last bit among others that vary: its weight stays bounded.
    rng = np.random.default_rng(4)
    keep = np.array([[i % 2 == 0] * 5 for i in range(80)])
    phi = rng.normal(-3, 0.2, keep.shape)
    phi[:, 0] = np.where(keep[:, 0], -2.95, -3.0)
    found = attack(name).score(Evidence(one_token(np.full(5, -3.1)), shadows=ShadowScores(phi, keep)))
    assert np.isfinite(found).all()
    # 500 to 750 floors of 1e-3 times .2 away; with a floor of 1e-30 it would be 1e57.
    assert abs(found[0]) < 1e6


@pytest.mark.parametrize("name", ["lira", "rmia", "bavaria"])
def test_a_record_that_no_shadow_holds_is_named_not_dropped(name: str, planted: Evidence) -> None:
    assert planted.shadows is not None
    keep = planted.shadows.keep.copy()
    keep[:, [3, 17]] = False
    evidence = Evidence(
        planted.target, shadows=ShadowScores(planted.shadows.phi, keep), population=planted.population
    )
    with pytest.raises(
        ValueError, match=r"^2 records lack a shadow that held the record \(positions 3, 17\)$"
    ):
        attack(name).score(evidence)
    # Those that need no such shadow still score every record.
    assert len(attack("lira-offline").score(evidence)) == len(attack("rmia-offline").score(evidence)) == 400
