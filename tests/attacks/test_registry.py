"""Adding an attack: what is registered is scored like a built-in one, and a taken name is refused."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest

import prime_audit
from attacks import ATTACKS, Evidence, TokenScores, attack, register, registry
from attacks.arrays import FloatArray
from prime_audit.config import plugins
from prime_audit.errors import ConfigError

NAME = "last-token"


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    registry._attacks.pop(NAME, None)
    plugins._attacks.discard(NAME)


def last_token(evidence: Evidence) -> FloatArray:
    return evidence.target.logp[evidence.target.offsets[1:] - 1]


def evidence() -> Evidence:
    return Evidence(
        TokenScores(
            offsets=np.array([0, 2, 3]),
            logp=np.array([-1.0, -5.0, -2.0]),
            mean_logp=np.zeros(3),
            std_logp=np.ones(3),
            is_argmax=np.zeros(3, dtype=bool),
            token=np.zeros(3, dtype=np.int64),
            compressed_bytes=np.ones(2, dtype=np.int64),
        )
    )


def test_a_registered_attack_scores() -> None:
    assert register(NAME, needs=["logp"], threat_model="A1", params={"k": 1.0})(last_token) is last_token
    found = attack(NAME)
    assert found is ATTACKS[NAME]
    assert (found.needs, found.threat_model, found.params) == (("logp",), "A1", {"k": 1.0})
    assert found.score(evidence()).tolist() == [-5.0, -2.0]


@pytest.mark.parametrize(
    ("name", "needs", "message"),
    [
        (
            "loss",
            ["logp"],
            r"two attacks are called 'loss': attacks\.likelihood\.mean_loss and .*test_registry\.last_token",
        ),
        ("two words", ["logp"], "no name for an attack"),
        (NAME, ["logits"], "unknown evidence logits; it is logp, "),
    ],
)
def test_what_cannot_be_registered(name: str, needs: list[str], message: str) -> None:
    before = dict(ATTACKS)
    with pytest.raises(ValueError, match=message):
        register(name, needs=needs)(last_token)
    with pytest.raises(ConfigError, match=message):
        prime_audit.register_attack(name, needs=needs)(last_token)
    assert dict(ATTACKS) == before


def test_the_parts_are_those_of_the_evidence() -> None:
    of_tokens = [part.name for part in fields(TokenScores) if part.name != "offsets"]
    assert list(registry.PARTS) == of_tokens + [
        part.name for part in fields(Evidence) if part.name != "target"
    ]


def test_from_the_library_it_is_known_to_studies_too() -> None:
    assert not plugins.knows_attack(NAME)
    prime_audit.register_attack(NAME, needs=["logp"])(last_token)
    assert plugins.knows_attack(NAME)
    with pytest.raises(ConfigError, match="two attacks are called 'last-token'"):
        prime_audit.register_attack(NAME, needs=["logp"])(last_token)
