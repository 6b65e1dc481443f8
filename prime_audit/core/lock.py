"""One writer per folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from prime_audit.errors import OutputError


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no second process writes to it; the lock goes when the process does.

    Args:
        folder: An existing folder.

    Yields:
        Nothing.

    Raises:
        OutputError: Another process holds it.
    """
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise OutputError(
            f"{folder}: another process is running in this directory",
            hint="wait for it, or use another --out",
        ) from error


def refuse_if_held(folder: Path) -> None:
    """Tell at once that a folder is held, before the seconds that it takes to load what would write to it.

    Args:
        folder: A folder; it need not exist.

    Raises:
        OutputError: Another process holds it.
    """
    if folder.is_dir():
        with sole_writer(folder):
            pass
