"""What holds for every attack that is registered: it finds what is there, and nothing where nothing is."""

from typing import get_args

import numpy as np
import pytest

from attacks import ATTACKS, Evidence, attack, missing, usable
from attacks.base import ThreatModel
from attacks.registry import PARTS
from attacks.statistics import auc
from tests.attacks.whole import whole_evidence

NAMES = list(ATTACKS)
NOBODY = np.zeros(400, dtype=bool)


@pytest.fixture(scope="module")
def planted() -> Evidence:
    return whole_evidence(np.random.default_rng(1), 80, np.arange(80) < 40, population=1000)


@pytest.fixture(scope="module")
def nothing() -> Evidence:
    return whole_evidence(np.random.default_rng(2), 400, NOBODY)


@pytest.mark.parametrize("name", NAMES)
def test_memorised_records_rank_higher(name: str, planted: Evidence) -> None:
    found = attack(name).score(planted)
    assert auc(found[:40], found[40:]) >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_without_memorising_nothing_shows(name: str, nothing: Evidence) -> None:
    found = attack(name).score(nothing)
    # Three standard deviations of the null at 200 + 200.
    assert abs(auc(found[::2], found[1::2]) - 0.5) < 3 * np.sqrt(401 / (12 * 200 * 200))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_records_does_not_matter(name: str, planted: Evidence) -> None:
    order = np.random.default_rng(3).permutation(len(planted))
    shuffled = attack(name).score(planted.take(order))
    np.testing.assert_allclose(shuffled, attack(name).score(planted)[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_equal_records_have_equal_scores(name: str, planted: Evidence) -> None:
    found = attack(name).score(planted.take([0, 41, 0, 41]))
    assert found[:2].tolist() == found[2:].tolist()
    assert auc(found[:2], found[2:]) == 0.5


# The spread of shadows is pooled over records, so these scores depend on who else is there.
POOLED = {"lira", "lira-offline", "bavaria"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in POOLED])
def test_a_record_scores_the_same_alone_and_among_others(name: str, planted: Evidence) -> None:
    together = attack(name).score(planted)
    for place in (0, 41, 79):
        assert attack(name).score(planted.take([place]))[0] == pytest.approx(together[place], rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("longest", [1, 2])
def test_records_of_one_or_two_tokens_have_finite_scores(name: str, longest: int) -> None:
    evidence = whole_evidence(np.random.default_rng(4), 20, np.arange(20) < 10, longest=longest)
    assert np.isfinite(attack(name).score(evidence)).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_named(name: str, planted: Evidence) -> None:
    parts = [part for part in attack(name).needs if not Evidence(planted.target).has(part)]
    assert missing(attack(name), Evidence(planted.target)) == tuple(parts)
    assert missing(attack(name), planted) == ()
    if parts:
        with pytest.raises(ValueError, match=f"attack {name}: needs .*{parts[0]}"):
            usable(attack(name), Evidence(planted.target))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_report_says_of_it_is_there(name: str) -> None:
    found = ATTACKS[name]
    assert (found.id, found.kind) == (name, "membership")
    assert found.source
    assert found.threat_model in get_args(ThreatModel)
    assert set(found.needs) <= set(PARTS)


def test_equal_scores_of_target_and_reference_tell_nothing(planted: Evidence) -> None:
    same = Evidence(planted.target, planted.target)
    for name in ("reference", "reference-2-decimals", "reference-bf16", "wbc", "ez"):
        assert (attack(name).score(same) == 0).all(), name
    assert (attack("ratio").score(same) == -1).all()


def test_studies_know_every_attack() -> None:
    from prime_audit.config import BUILT_IN_ATTACKS, DEFAULT_ATTACKS

    assert sorted(BUILT_IN_ATTACKS) == sorted(NAMES)
    plain = {"logp", "mean_logp", "std_logp", "is_argmax", "token", "compressed_bytes", "reference"}
    assert all(set(ATTACKS[name].needs) <= plain for name in DEFAULT_ATTACKS)
