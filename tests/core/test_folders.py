"""Private folders, folders that appear whole or not at all, and what is tidied up after a kill."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from prime_audit.core import (
    RUN_MARKS,
    atomic_dir,
    atomic_write_text,
    folders,
    make_private_dir,
    refuse_foreign,
    remove_temporaries,
)
from prime_audit.errors import NoSpaceError, OutputError


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


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        ([], False),
        ([".lock"], False),
        ([".lock", ".config.resolved.yaml.abcd_123.tmp"], False),
        (["config.resolved.yaml", "notes.txt"], False),
        (["journal.jsonl"], False),
        (["README.md"], True),
        ([".git", ".lock"], True),
        (["results.json", "report.html"], True),
    ],
)
def test_a_folder_that_holds_other_things_than_a_run_is_not_filled(
    tmp_path: Path, names: list[str], refused: bool
) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    if refused:
        with pytest.raises(OutputError, match="holds other things than a run"):
            refuse_foreign(tmp_path, RUN_MARKS)
    else:
        refuse_foreign(tmp_path, RUN_MARKS)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new", RUN_MARKS)
    (tmp_path / "file").write_text("x")
    refuse_foreign(tmp_path / "file", RUN_MARKS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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
    path = tmp_path / "module"
    flushed: list[Path] = []
    path.mkdir()
    monkeypatch.setattr(folders, "sync_folder", flushed.append)
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
