"""Ids, random streams and printable text."""

from pathlib import Path

import numpy as np
import pytest

from prime_audit.core import Seeds, check_id, inside, printable
from prime_audit.errors import (
    ConfigError,
    DataError,
    GateFailure,
    IncompleteError,
    ModelError,
    OutputError,
    PrimeAuditError,
)


def test_exit_codes_are_those_of_the_contract() -> None:
    codes = {leaf.__name__: leaf.exit_code for leaf in PrimeAuditError.__subclasses__()}
    assert codes == {
        "ConfigError": 2,
        "DataError": 2,
        "ModelError": 2,
        "OutputError": 2,
        "NoMemoryError": 1,
        "GateFailure": 3,
        "IncompleteError": 4,
    }
    assert PrimeAuditError.exit_code == 1
    assert all(
        issubclass(leaf, PrimeAuditError) for leaf in (GateFailure, IncompleteError, ModelError, OutputError)
    )
    error = ConfigError("wrong", hint="do this")
    assert (str(error), error.hint) == ("wrong", "do this")


@pytest.mark.parametrize("name", ["u1", "1000", "A.b_c-d", "x" * 64, "console", "com10"])
def test_usable_ids_come_back_unchanged(name: str) -> None:
    assert check_id(name, "user") == name


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "a b", "../up", ".hidden", "a/b", "é", "a\n", "-x", "con", "NUL.txt", "Com1", "end."],
)
def test_unusable_ids_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"^f\.json\[2\]: user id '"):
        check_id(name, "user", "f.json[2]")


def test_a_bad_id_cannot_steer_the_terminal() -> None:
    with pytest.raises(DataError) as caught:
        check_id("\x1b[2Jevil\u202e", "user")
    assert str(caught.value) == "user id 'evil' is not usable"


def test_paths_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert inside(root, Path("a/../b")) == root.resolve() / "b"
    (root / "link").symlink_to(tmp_path)
    for bad in ("../x", "/etc/passwd", "link/x", "../root2/x"):
        with pytest.raises(DataError, match="leads out of the folder"):
            inside(root, Path(bad))


def test_a_stream_depends_on_root_and_purpose_alone() -> None:
    seeds = Seeds(7)
    seeds.generator("noise").random(100)
    np.testing.assert_array_equal(
        seeds.generator("train", "u1").random(5), Seeds(7).generator("train", "u1").random(5)
    )
    others = [Seeds(8).integer("train", "u1"), seeds.integer("train", "u2"), seeds.integer("u1", "train")]
    others += [seeds.integer("trainu1"), seeds.integer("train"), seeds.integer()]
    assert len({seeds.integer("train", "u1"), *others}) == 7


def test_streams_do_not_change_between_releases() -> None:
    assert Seeds(0).integer("train") == 896426862
    assert Seeds(2**63).generator("a", "b").integers(0, 10**9) == 749360018


def test_seeds_are_usable_integers() -> None:
    drawn = [Seeds(root).integer("x") for root in range(500)]
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert len(set(drawn)) == 500
    assert max(drawn) > 2**30
    with pytest.raises(ConfigError, match="must not be negative"):
        Seeds(-1)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain text é 漢", "plain text é 漢"),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
        ("\x9b1mx\x9d0;t\x9cy", "xy"),
        ("one\ntwo\tthree\r", "one two three"),
        ("a\u202eb\u2066c\u200fd", "abcd"),
        ("a\x00\x08\x7f\x85b\ud800", "a b"),
        ("\x1b", ""),
    ],
)
def test_nothing_that_steers_a_terminal_is_printed(raw: str, clean: str) -> None:
    assert printable(raw) == clean


def test_long_text_is_cut() -> None:
    assert printable("abcdef", limit=4) == "abc…"
    assert printable("abcd", limit=4) == "abcd"
