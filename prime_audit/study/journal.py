"""The append-only record of finished units: one JSON object a line, flushed to disk unit by unit."""

import json
import os
from pathlib import Path
from typing import Any

from prime_audit.errors import IncompleteError


class Journal:
    """Finished units by key. A torn last line (a kill during a write) is dropped; other damage stops the run.

    The design follows optuna's journal storage: append, fsync, tolerate only an unfinished tail.
    """

    def __init__(self, path: Path) -> None:
        """Reads what is there already.

        Args:
            path: The journal file; it need not exist.

        Raises:
            IncompleteError: If a line before the last one is damaged; its number is named.
        """
        self._path = path
        self.dropped_tail = False
        self._entries: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        raw = self._path.read_bytes()
        whole, _, tail = raw.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            try:
                entry = json.loads(line)
                self._entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError) as error:
                raise IncompleteError(
                    f"{self._path}: line {number} is damaged",
                    hint="restore the file, or start again with --fresh",
                ) from error
        if tail:
            # Cut the torn line off, so that the next append starts on a line of its own.
            self.dropped_tail = True
            with self._path.open("r+b") as file:
                file.truncate(len(raw) - len(tail))

    def get(self, key: str) -> dict[str, Any] | None:
        """Returns the entry of a finished unit, or None."""
        return self._entries.get(key)

    def append(self, entry: dict[str, Any]) -> None:
        """Writes one finished unit and flushes it to disk.

        Args:
            entry: JSON-serialisable, with the unit's ``key``.
        """
        line = json.dumps(entry, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._entries[entry["key"]] = entry
