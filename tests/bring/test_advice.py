"""What opens an attack is said in options and columns, and every part of the evidence has such words."""

import re

import pytest

from attacks import ATTACKS
from attacks.registry import PARTS
from prime_audit.bring.advice import advise

# What a file of log-probabilities with texts and the base's holds, and what a pass of a model measures.
IN_A_FILE = {"logp", "reference", "compressed_bytes"}
ALWAYS = {"logp", "mean_logp", "std_logp", "is_argmax", "token", "compressed_bytes", "lowercase", "repeated"}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.id)
def test_no_attack_is_left_out_with_internal_words(attack: object) -> None:
    needs = getattr(attack, "needs", ())
    texts = [
        advise([part for part in needs if part not in ALWAYS] or ["corpus"], "model"),
        advise(needs, "scores"),
    ]
    for text in texts:
        assert re.search(r"--public FILE|--adapter DIR|--base|only in a study|the column", text), text
        internal = [part for part in PARTS if "_" in part and part != "base_logp"]
        assert not [part for part in internal if part in text], text


def test_what_only_a_study_can_give_is_said_alone() -> None:
    text = advise(["shadows", "population"], "model")
    assert text == "only in a study (it trains shadow modules, audit.shadows)"


def test_several_things_are_all_named() -> None:
    assert advise(["reference", "gradient_norm"], "model").count("--adapter DIR") == 2
    assert advise(["reference", "compressed_bytes"], "scores") == (
        "give the column base_logp: the base's log-probabilities of the same tokens; give the column text"
    )
    # A column would not be enough.
    assert "base_logp" not in advise(["is_argmax", "reference"], "scores")


def test_the_population_s_parts_are_the_population() -> None:
    assert advise(["population.repeated"], "scores").startswith("give --base")
    assert advise(["population"], "model").startswith("give --public FILE")
