"""One writer per folder."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import filelock

from prime_audit.errors import OutputError

_LOCK: Final = ".lock"
# Seconds: longer than another command needs to see whether the folder is held, and too short to be a wait.
_PATIENCE: Final = 0.5


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no second process writes to it; the lock goes when the process does.

    Args:
        folder: An existing folder.

    Yields:
        Nothing.

    Raises:
        OutputError: Another process holds it, or the folder cannot be locked.
    """
    with ExitStack() as held:
        try:
            held.enter_context(filelock.FileLock(folder / _LOCK, timeout=_PATIENCE))
        except filelock.Timeout as error:
            raise OutputError(
                f"{folder}: another process is running in this directory",
                hint="wait for it, or use another --out",
            ) from error
        except (OSError, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else "the system has no locks there"
            raise OutputError(
                f"{folder / _LOCK}: this directory cannot be locked: {why or type(error).__name__}",
                hint="use another --out; the file may be somebody else's or a link, and locks may not work "
                "on a network disk",
            ) from error
        yield


def refuse_if_held(folder: Path) -> None:
    """Tell at once that a folder is held, before the seconds that it takes to load what would write to it.

    Args:
        folder: A folder; it need not exist. Nothing is written to it.

    Raises:
        OutputError: Another process holds it, or the folder cannot be locked.
    """
    # A folder that nobody has ever held is not to be marked by whoever only asks.
    if os.path.lexists(folder / _LOCK):
        with sole_writer(folder):
            pass
