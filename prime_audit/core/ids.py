"""Names that come from outside and end up in file names, tables and messages."""

import re
from pathlib import Path

from prime_audit.core.sanitise import printable
from prime_audit.errors import DataError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def check_id(text: str, what: str, where: str = "") -> str:
    """Return an id unchanged if it is safe as a file name on every system.

    Args:
        text: The id: 1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit.
        what: What the id names, for the message ("user", "item").
        where: File and position, for the message.

    Returns:
        `text`.

    Raises:
        DataError: The id is empty, too long, holds another character, or is reserved on Windows.
    """
    place = f"{where}: " if where else ""
    if not _ID.fullmatch(text):
        raise DataError(
            f"{place}{what} id '{printable(text, 40)}' is not usable",
            hint="use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or a digit",
        )
    if _RESERVED.fullmatch(text) or text.endswith("."):
        raise DataError(
            f"{place}{what} id '{text}' cannot be a file name on Windows",
            hint="choose another id",
        )
    return text


def inside(root: Path, path: Path) -> Path:
    """Resolve a path and make sure that it lies in a folder, links included.

    Args:
        root: The folder.
        path: A path; a relative one is taken from `root`.

    Returns:
        The resolved absolute path.

    Raises:
        DataError: The path leads out of the folder.
    """
    base = root.resolve()
    resolved = (base / path).resolve()
    if not resolved.is_relative_to(base):
        raise DataError(f"{printable(str(path))}: leads out of the folder {root}")
    return resolved
