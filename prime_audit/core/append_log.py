"""An append-only file of JSON objects, one a line, that survives being killed at any byte."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from prime_audit.core.files import sync_folder, unwritable
from prime_audit.errors import IncompleteError

# Every line ends with a digest of what stands before it: a changed byte may still leave valid JSON behind.
_LINE = re.compile(rb'(\{.+),"check":"([0-9a-f]{16})"\}', re.DOTALL)


class AppendLog:
    """Entries in the order in which they were appended; each is on disk when `append` returns.

    A torn last line (a kill during a write) is dropped; other damage is refused. The design follows optuna's
    journal storage: append, fsync, tolerate only an unfinished tail.

    Attributes:
        path: The file.
        entries: What it holds.
        dropped_tail: Whether a torn last line was dropped.
    """

    def __init__(self, path: Path, *, read_only: bool = False, remedy: str) -> None:
        """Read what is there already.

        Args:
            path: The file; it need not exist.
            read_only: Leave a torn last line where it is: the file may belong to another process.
            remedy: What the user can do about a damaged file.

        Raises:
            IncompleteError: A whole line is damaged; its number and byte are named.
        """
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.dropped_tail = False
        if path.exists():
            self._read(read_only, remedy)

    def _read(self, read_only: bool, remedy: str) -> None:
        raw = self.path.read_bytes()
        whole, _, tail = raw.rpartition(b"\n")
        start = 0
        for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
            entry = _parse(line)
            if entry is None:
                raise IncompleteError(
                    f"{self.path}: line {number} (byte {start}) is damaged",
                    hint=remedy,
                )
            self.entries.append(entry)
            start += len(line) + 1
        if tail:
            self.dropped_tail = True
            if not read_only:
                # Cut off, so that the next append starts on a line of its own.
                os.truncate(self.path, len(raw) - len(tail))

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry and flush it to disk.

        Args:
            entry: JSON-serialisable, not empty, without NaN.

        Raises:
            OutputError: It cannot be written; nothing of it stays in the file.
        """
        body = json.dumps(entry, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        line = body[:-1] + b',"check":"' + _check(body) + b'"}\n'
        new = not self.path.exists()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                _append_whole(file.fileno(), line)
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise unwritable(self.path, error, len(line)) from error
        self.entries.append(entry)


def _append_whole(descriptor: int, line: bytes) -> None:
    """Appends a line, or takes back what was written of it."""
    size = os.fstat(descriptor).st_size
    try:
        left = line
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def _parse(line: bytes) -> dict[str, Any] | None:
    found = _LINE.fullmatch(line)
    if found is None or _check(found[1] + b"}") != found[2]:
        return None
    entry: dict[str, Any] = json.loads(found[1] + b"}")
    return entry
