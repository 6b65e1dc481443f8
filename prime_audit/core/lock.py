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
