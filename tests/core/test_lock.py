"""One writer per folder: the second is refused, and what cannot be locked is told."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from prime_audit.core import refuse_if_held, sole_writer
from prime_audit.errors import OutputError

_HOLD = """
import sys, time
from pathlib import Path
from prime_audit.core import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def other_process(folder: Path, seconds: float) -> Iterator[None]:
    """Another process holds the folder for so long."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, folder, str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def hold(folder: Path) -> None:
    with sole_writer(folder):
        pass


@pytest.mark.parametrize("ask", [refuse_if_held, hold])
def test_a_second_writer_is_refused_within_a_second(ask: Callable[[Path], None], tmp_path: Path) -> None:
    with other_process(tmp_path, 60.0):
        start = time.monotonic()
        with pytest.raises(OutputError, match="another process is running in this directory") as caught:
            ask(tmp_path)
        assert time.monotonic() - start < 1.0
    assert "--out" in caught.value.hint
    # The lock goes with its process, though that was killed and left the file behind.
    assert (tmp_path / ".lock").exists()
    hold(tmp_path)


def test_who_only_asks_does_not_make_a_run_fail(tmp_path: Path) -> None:
    with other_process(tmp_path, 0.05):
        hold(tmp_path)


def test_who_only_asks_leaves_nothing_behind(tmp_path: Path) -> None:
    refuse_if_held(tmp_path)
    refuse_if_held(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_a_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for name in ("there", "nowhere"):
        (tmp_path / ".lock").symlink_to(tmp_path / name)
        for ask in (refuse_if_held, hold):
            with pytest.raises(OutputError, match=r"\.lock: this directory cannot be locked: ") as caught:
                ask(tmp_path)
            assert "--out" in caught.value.hint
        (tmp_path / ".lock").unlink()
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError(errno.ENOLCK, "No locks available"), "No locks available"),
        (NotImplementedError("FileSystem does not appear to support flock"), "the system has no locks there"),
    ],
)
def test_a_folder_that_cannot_be_locked_is_no_fault_of_the_program(
    error: Exception, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(OutputError, match=why) as caught:
        hold(tmp_path)
    assert "network disk" in caught.value.hint


@pytest.mark.parametrize(
    "error", [filelock.Timeout("x"), PermissionError(errno.EACCES, "no"), OutputError("x")]
)
def test_what_fails_while_the_folder_is_held_stays_what_it_is(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught, sole_writer(tmp_path):
        raise error
    assert caught.value is error
