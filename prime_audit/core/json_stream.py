"""Reading a JSON list of any length entry by entry, with no more than one entry in memory."""

import codecs
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from prime_audit.core.files import parse_json, refuse_constant
from prime_audit.errors import DataError

_CHUNK = 1 << 20
_SPACE = " \t\n\r"
# Where a text is merely cut off, the decoder stops within the last few characters (an escape, a literal) or
# at the start of a string that has no end.
_TAIL = 16


def read_json_list(path: Path) -> Iterator[object]:
    """Read the entries of one long JSON list one after another.

    Args:
        path: A file that holds one list, as strict JSON.

    Yields:
        Each entry.

    Raises:
        DataError: The file is missing, no UTF-8, no JSON, no list, or holds NaN; line and column are named.
    """
    with closing(_Window(path)) as window:
        if window.next_char() != "[":
            window.refuse("expected a list")
        window.skip()
        if window.next_char() == "]":
            window.skip()
        else:
            yield window.entry()
            while window.next_char() == ",":
                window.skip()
                yield window.entry()
            if window.next_char() != "]":
                window.refuse("not valid JSON: expected ',' or ']'")
            window.skip()
        if window.next_char():
            window.refuse("not valid JSON: something follows after the end of the list")


class _Window:
    """The part of a file that has been read and not yet decoded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = json.JSONDecoder(parse_constant=refuse_constant)
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._bytes = 0
        # Lines before the window, and characters before it in its first line.
        self._line, self._column = 1, 1
        self._ended = False
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def next_char(self) -> str:
        """The next character that is no white space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(_CHUNK):
                return ""

    def skip(self) -> None:
        """Takes one character."""
        self._at += 1

    def entry(self) -> object:
        """Decodes the next value."""
        self.next_char()
        wanted = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _TAIL
                if not cut or not self._more(wanted):
                    self._fail()
            except (RecursionError, ValueError):
                self._fail()
            else:
                length = end - self._at
                # A number that ends with the window may go on after it.
                if end + _TAIL < len(self._text) or not self._more(wanted):
                    self._at += length
                    return value
            # Each try reads twice as much, so that a long entry is not decoded over and over.
            wanted *= 2

    def refuse(self, what: str) -> NoReturn:
        """Raises an error about the next character."""
        found, hint = self.next_char(), ""
        if found == "<":
            what, hint = "not valid JSON", "this looks like a web page saved in place of the file"
        elif not found:
            what, hint = "the JSON ends too early", "the file seems to be cut off; copy or download it again"
        line, column = self._place(self._at)
        raise DataError(f"{self._path}: line {line}, column {column}: {what}", hint=hint)

    def _more(self, size: int) -> bool:
        """Drops what was decoded and reads on; False at the end of the file."""
        if self._ended:
            return False
        self._line, self._column = self._place(self._at)
        try:
            data = self._stream.read(size)
            text = self._utf8.decode(data, final=not data)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            place = self._bytes + error.start
            raise DataError(
                f"{self._path}: not UTF-8 (about byte {place})", hint="save the file as UTF-8"
            ) from error
        self._bytes += len(data)
        self._text = self._text[self._at :] + text
        self._at = 0
        if not data:
            self._ended = True
        return bool(data)

    def _place(self, position: int) -> tuple[int, int]:
        """Line and column of a position in the window."""
        lines = self._text.count("\n", 0, position)
        if not lines:
            return self._line, self._column + position
        return self._line + lines, position - self._text.rfind("\n", 0, position)

    def _fail(self) -> NoReturn:
        """Raises the error of the strict parser about the entry, at its place in the file."""
        line, column = self._place(self._at)
        # The entry's first line is padded, so that columns are those of the file.
        parse_json(" " * (column - 1) + self._text[self._at :], str(self._path), line)
        raise DataError(f"{self._path}: line {line}, column {column}: not usable JSON")
