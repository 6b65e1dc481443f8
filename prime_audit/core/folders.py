"""Folders: private ones, ones that appear whole or not at all, and what kills leave in them."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from prime_audit.core.files import DISK_FULL, sync_folder
from prime_audit.core.sanitise import printable
from prime_audit.errors import NoSpaceError, OutputError

# What `tempfile` makes of the prefixes and suffixes of `atomic_write_bytes` and `atomic_dir`.
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(?:tmp|old)", re.DOTALL)


def make_private_dir(path: Path) -> Path:
    """Make a folder that only its owner can enter, and prove that it can be written to.

    Args:
        path: The folder; missing parents are made. An existing folder is tightened to mode 0700.

    Returns:
        `path`.

    Raises:
        OutputError: The folder cannot be made or written to.
        NoSpaceError: The disk is full.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"probe")
    except OSError as error:
        if error.errno in DISK_FULL:
            # A folder that could not be made is none whose disk can be asked.
            there = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
            raise NoSpaceError(
                f"{path}: nothing can be written there: {error.strerror} "
                f"({shutil.disk_usage(there).free} bytes free on the disk)",
                hint="make room, or choose another place with --out; nothing was changed",
            ) from error
        raise OutputError(
            f"{path}: this folder cannot be written to: {error.strerror or error}",
            hint="choose another place with --out, or change the permissions",
        ) from error
    return path


def refuse_foreign(path: Path, marks: Collection[str]) -> None:
    """Refuse to fill a folder that holds other things: they would be mixed with what is written there.

    Args:
        path: The folder; it need not exist.
        marks: Names of which one tells that the folder is one of ours.

    Raises:
        OutputError: The folder holds something, and none of the names.
    """
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError:
        # Not there, or not to be read: whoever makes the folder tells.
        return
    # A start that was killed may have left no more than these.
    others = [name for name in names if name != ".lock" and not _TEMPORARY.fullmatch(name)]
    if others and not set(others) & set(marks):
        raise OutputError(
            f"{path}: this folder holds other things than a run ({printable(others[0], 40)}"
            f"{f' and {len(others) - 1} more' if len(others) > 1 else ''})",
            hint="name a new or an empty folder with --out",
        )


@contextlib.contextmanager
def atomic_dir(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Fill a folder under a temporary name and rename it when the block ends well.

    If the block fails, nothing is left behind.

    Args:
        path: Where the folder goes; its parent must exist.
        replace: Whether a folder that is there by then is replaced; else it stays and the new one goes.

    Yields:
        The temporary folder to write into.

    Raises:
        OutputError: The folder cannot be made or renamed.
    """
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path}: this folder cannot be made: {error.strerror or error}") from error
    try:
        yield temporary
        _put_in_place(temporary, path, replace)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(new: Path, path: Path, replace: bool) -> None:
    """Rename `new` to `path`; what is to be replaced there is moved aside first and then removed."""
    try:
        if not replace and path.exists():
            return
        if not path.exists():
            os.rename(new, path)
            sync_folder(path.parent)
            return
        _swap(new, path)
    except OSError as error:
        if not replace and path.is_dir():
            # Another process was faster by less than the time between the question and the renaming.
            return
        raise OutputError(f"{path}: this folder cannot be put in place: {error.strerror or error}") from error


def _swap(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`; where that fails, what was there is put back."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    try:
        os.rename(path, aside / "old")
        os.rename(new, path)
        sync_folder(path.parent)
    finally:
        if not path.exists():
            _put_back(aside / "old", path)
        shutil.rmtree(aside, ignore_errors=True)


def _put_back(old: Path, path: Path) -> None:
    try:
        os.rename(old, path)
    except OSError as error:
        raise OutputError(
            f"{path}: neither could this folder be replaced nor could the old one be put back: "
            f"{error.strerror or error}",
            hint=f"the old one is whole and lies in {old}: move it back",
        ) from error


def remove_temporaries(
    folder: Path,
    *,
    of: Collection[str] | None = None,
    below: Iterable[str] = (),
    older_than: float = 0.0,
) -> None:
    """Remove what killed processes have left under the temporary names that `atomic_*` give.

    Args:
        folder: The folder; what lies directly in it is looked at. It need not exist.
        of: Names of files; only their temporaries are removed from the folder itself, because others keep
            files there too. None: those of any name.
        below: Names of folders in it that are looked through to the bottom.
        older_than: Leave alone what was changed within so many seconds: another process may be at it.
    """
    _remove_from(folder, of, older_than)
    for name in below:
        # Unlike `Path.rglob`, a walk goes on where a folder has vanished.
        for place, _, _ in os.walk(folder / name):
            _remove_from(Path(place), None, older_than)


def _remove_from(folder: Path, of: Collection[str] | None, older_than: float) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found is None or (of is not None and found[1] not in of):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime >= older_than:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    shutil.rmtree(entry.path) if is_folder else os.unlink(entry.path)
