"""Atomic writes, strict JSON, digests, private folders."""

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from prime_audit.core import (
    atomic_dir,
    atomic_write_bytes,
    atomic_write_text,
    digest_bytes,
    digest_file,
    digest_folder,
    digest_json,
    files,
    make_private_dir,
    parse_json,
    read_json,
    remove_temporaries,
    write_json,
)
from prime_audit.errors import DataError, NoSpaceError, OutputError


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


def test_a_private_folder_is_private_and_writable(tmp_path: Path) -> None:
    path = make_private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert list(path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written to") as caught:
        make_private_dir(tmp_path / "file" / "out")
    assert "--out" in caught.value.hint


def test_a_folder_on_a_full_disk_is_a_matter_of_room_not_of_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(NoSpaceError, match=r"No space left on device \(\d+ bytes free") as caught:
        make_private_dir(tmp_path / "no" / "such")
    assert caught.value.exit_code == 1
    assert "permissions" not in caught.value.hint


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "module"
    with atomic_dir(path) as temporary:
        (temporary / "a").write_text("1")
        assert not path.exists()
    with pytest.raises(IsADirectoryError), atomic_dir(path) as temporary:
        temporary.write_text("2")
    assert (path / "a").read_text() == "1"
    with atomic_dir(path) as temporary:
        (temporary / "b").write_text("3")
    assert [p.name for p in path.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["module"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "module"
    with atomic_dir(path) as temporary:
        (temporary / "a").write_text("1")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if source.suffix == ".tmp":
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="cannot be put in place: Input/output error"), atomic_dir(path):
        pass
    assert (path / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["module"]


def test_a_folder_that_cannot_even_be_put_back_is_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module"
    with atomic_dir(path) as temporary:
        (temporary / "a").write_text("1")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if target == path:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="nor could the old one be put back") as caught, atomic_dir(path):
        pass
    (aside,) = tmp_path.iterdir()
    assert (aside / "old" / "a").read_text() == "1"
    assert str(aside / "old") in caught.value.hint


def test_a_replaced_folder_is_flushed_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "module", []
    path.mkdir()
    monkeypatch.setattr(files, "sync_folder", flushed.append)
    with atomic_dir(path):
        pass
    assert flushed == [tmp_path]


class KilledError(BaseException):
    """Stands for a kill: nobody tidies up after it."""


def left_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What kills during a write, during the filling of a folder and during its replacement leave."""

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    before = set(path.parent.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KilledError):
            atomic_write_text(path, "x")
        with pytest.raises(KilledError), atomic_dir(path):
            kill()
        path.mkdir()
        with atomic_dir(path) as temporary:
            (temporary / "file").write_text("1")
    shutil.rmtree(path)
    return sorted(set(path.parent.iterdir()) - before)


# A user's own, that only look like temporaries.
OWN = (".env.old", ".venv.old", ".a.x.tmp", ".notes.original.old", ".a.ABCDEFGH.tmp", "a.12345678.tmp", "b")


def test_what_killed_processes_have_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [tmp_path / "mine" / ".a.json.12345678.tmp", *(tmp_path / name for name in OWN)]
    for path in own:
        path.mkdir(parents=True)
        (path / "file").write_text("1")
    (tmp_path / "modules" / "prime").mkdir(parents=True)
    left = left_behind(tmp_path / "a.json", monkeypatch)
    left += left_behind(tmp_path / "modules" / "prime" / "t0", monkeypatch)
    assert len(left) >= 6
    assert {path.suffix for path in left} == {".tmp", ".old"}
    remove_temporaries(tmp_path, of=["a.json"], below=["modules", "none"], older_than=3600.0)
    assert all(path.exists() for path in left)
    remove_temporaries(tmp_path, of=["a.json"], below=["modules", "none"])
    assert not any(path.exists() for path in left)
    assert all((path / "file").exists() for path in own)


def test_a_link_with_a_temporary_name_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("1")
    (tmp_path / ".a.12345678.tmp").symlink_to(tmp_path / "there")
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there" / "file").exists()
    remove_temporaries(tmp_path / "none")
