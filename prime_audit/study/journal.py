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
        remedy = "restore the file, or start again with --fresh"
        self._log = AppendLog(path, read_only=read_only, remedy=remedy)
        self.dropped_tail = self._log.dropped_tail
        self._entries: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        for entry in self._log.entries:
            self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        # What a unit leaves may lie under its name alone, so of each name only the last line holds.
        self._entries.pop(self._keys.pop(entry["unit"], ""), None)
        if "key" in entry:
            self._entries[entry["key"]] = entry
            self._keys[entry["unit"]] = entry["key"]

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the entry of a finished unit, or None; it is the last one of the unit's name."""
        return self._entries.get(key)

    def append(self, entry: dict[str, Any]) -> None:
        """Writes one finished unit and flushes it to disk.

        Args:
            entry: JSON-serialisable, with the ``unit``'s name and its ``key``.

        Raises:
            OutputError: It cannot be written.
        """
        self._log.append(entry)
        self._note(entry)

    def forget_other(self, unit: str, key: str) -> None:
        """Takes back what was finished under a unit's name with another key, before it is overwritten.

        Args:
            unit: The unit's name.
            key: The key that it has now.

        Raises:
            OutputError: It cannot be written.
        """
        if self._keys.get(unit, key) != key:
            self.append({"unit": unit, "forgotten": self._keys[unit]})
