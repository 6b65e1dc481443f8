"""The record of finished units: what is in it is never computed again."""

from pathlib import Path
from typing import Any

from prime_audit.core import AppendLog


class Journal:
    """Finished units by key, in an append-only file; see `AppendLog` for what it survives."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Reads what is there already.

        Args:
            path: The journal file; it need not exist.
            read_only: It is another run's; nothing is written to it.

        Raises:
            IncompleteError: If a line is damaged; its number is named.
        """
        self._log = AppendLog(path, read_only=read_only)
        self.dropped_tail = self._log.dropped_tail
        self._entries = {entry["key"]: entry for entry in self._log.entries}

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the entry of a finished unit, or None."""
        return self._entries.get(key)

    def append(self, entry: dict[str, Any]) -> None:
        """Writes one finished unit and flushes it to disk.

        Args:
            entry: JSON-serialisable, with the unit's ``key``.

        Raises:
            OutputError: It cannot be written.
        """
        self._log.append(entry)
        self._entries[entry["key"]] = entry
