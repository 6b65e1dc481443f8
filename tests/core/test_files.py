"""Atomic writes, strict JSON, digests."""

import hashlib
import os
from pathlib import Path

import pytest

from prime_audit.core import (
    atomic_write_bytes,
    atomic_write_text,
    digest_bytes,
    digest_file,
    digest_folder,
    digest_json,
    parse_json,
    read_json,
    write_json,
)
from prime_audit.errors import DataError, OutputError


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")
    atomic_write_bytes(path, b"new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_rename_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written: No space left"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        atomic_write_text(tmp_path / "none" / "a.txt", "x")


def test_json_is_strict_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None], "é": "ü"})
    assert path.read_text(encoding="utf-8") == '{\n "b": [\n  1,\n  2.5,\n  null\n ],\n "é": "ü"\n}\n'
    assert read_json(path) == {"b": [1, 2.5, None], "é": "ü"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"a"', "line 2, column 6: the JSON ends too early"),
        ('{"a": 1\n}\n}', "line 3, column 1: not valid JSON: Extra data"),
        ('{"a": "NaN",\n "b": NaN}', "line 2, column 7: NaN is not allowed in JSON"),
        ("[1, -Infinity]", "line 1, column 5: -Infinity is not allowed"),
        ("[" * 100_000, "line 1: not usable JSON: nested too deeply"),
        ("[\n" * 100_000, "a.json: not usable JSON: nested too deeply"),
        ("", "line 1, column 1: the JSON ends too early"),
    ],
)
def test_broken_json_is_reported_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_web_page_in_place_of_json_is_recognised() -> None:
    with pytest.raises(DataError) as caught:
        parse_json("<!doctype html>\n<html>", "dev.json")
    assert "web page" in caught.value.hint


def test_a_line_of_a_larger_file_is_numbered_from_its_start() -> None:
    with pytest.raises(DataError, match=r"users\.jsonl: line 7, column 2"):
        parse_json("{", "users.jsonl", first_line=7)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'"caf\xe9"')
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 4\)"):
        read_json(tmp_path / "latin")
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        read_json(tmp_path / "none")


def test_digests_know_their_answers(tmp_path: Path) -> None:
    expected = hashlib.sha256(b'{"a":[1,null],"b":"\xc3\xa9"}').hexdigest()
    assert digest_json({"b": "é", "a": [1, None]}) == expected
    assert digest_bytes(b"abc").startswith("ba7816bf")
    (tmp_path / "f").write_bytes(b"abc")
    assert digest_file(tmp_path / "f") == digest_bytes(b"abc")


def test_a_folder_digest_sees_names_contents_and_nothing_else(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in" / "x").write_text("1")
        (tmp_path / name / "y").write_text("2")
    first = digest_folder(tmp_path / "one")
    assert first == digest_folder(tmp_path / "two")
    (tmp_path / "two" / "y").rename(tmp_path / "two" / "z")
    assert first != digest_folder(tmp_path / "two")
    (tmp_path / "one" / "y").write_text("3")
    assert first != digest_folder(tmp_path / "one")
    with pytest.raises(DataError, match="no such folder"):
        digest_folder(tmp_path / "none")
