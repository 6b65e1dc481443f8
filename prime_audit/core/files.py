"""Reading and writing files so that a reader never sees half of one."""

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prime_audit.errors import DataError, NoSpaceError, OutputError

# More than any person's history; what goes beyond is a mistake or an attack, and must not fill the memory.
LONGEST_LINE = 1 << 26
_CHUNK = 1 << 20
# No space left, over the quota, over the largest size of a file.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_STRING_OR_CONSTANT = re.compile(r'"(?:\\.|[^"\\])*"|NaN|-?Infinity', re.DOTALL)


class _ConstantError(ValueError):
    """NaN or an infinity stood where strict JSON allows none."""


def unwritable(path: Path, error: OSError, needed: int) -> OutputError:
    """Say why something could not be written; a full disk is named with the bytes that are free and needed.

    Args:
        path: What was to be written.
        error: What the system said.
        needed: Bytes that were to be written.

    Returns:
        The error to raise.
    """
    if error.errno not in DISK_FULL:
        return OutputError(f"{path}: cannot be written: {error.strerror or error}")
    free = shutil.disk_usage(path.parent).free
    return NoSpaceError(
        f"{path}: cannot be written: {error.strerror} ({needed} bytes needed, {free} bytes free on the disk)",
        hint="make room (or raise the limit on file sizes); what was finished is kept, and the same command "
        "continues",
    )


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk, so that a renamed or new file in it outlives a power cut.

    Args:
        path: The folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step: a temporary sibling is filled, flushed to disk and renamed.

    Args:
        path: Where the file goes; its folder must exist. The file is readable by its owner alone.
        data: The whole content.

    Raises:
        OutputError: The file cannot be written (folder missing, no permission).
        NoSpaceError: The disk is full.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error, len(data)) from error
    finally:
        # After a successful rename the temporary name is gone and this does nothing.
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step; see `atomic_write_bytes`.

    Args:
        path: Where the file goes.
        text: The whole content; line ends are kept as they are.
    """
    atomic_write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, obj: object) -> None:
    """Write strict JSON: no NaN, one space of indent, a final newline.

    Args:
        path: Where the file goes.
        obj: Plain dicts, lists, strings, numbers, booleans and None.

    Raises:
        ValueError: `obj` holds a NaN or an infinity.
        OutputError: The file cannot be written.
    """
    atomic_write_text(path, json.dumps(obj, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> object:
    """Read strict JSON.

    Args:
        path: The file.

    Returns:
        What the file holds.

    Raises:
        DataError: The file is missing, no UTF-8, no JSON, or holds NaN; line and column are named.
    """
    return parse_json(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Read UTF-8 text (a byte order mark is dropped).

    Args:
        path: The file.

    Returns:
        Its text.

    Raises:
        DataError: The file is missing, unreadable or no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start})", hint="save the file as UTF-8") from error


def read_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """Read UTF-8 text line by line, holding one line at a time (a byte order mark is dropped).

    Args:
        path: The file.
        longest: Most bytes in a line.

    Yields:
        Each line without its line feed.

    Raises:
        DataError: The file is missing, unreadable or no UTF-8, or has a longer line.
    """
    start = 0
    try:
        with path.open("rb") as stream:
            for number in itertools.count(1):
                raw = stream.readline(longest + 1)
                if not raw:
                    return
                if len(raw) > longest and not raw.endswith(b"\n"):
                    raise DataError(
                        f"{path}: line {number} is longer than {longest} bytes",
                        hint="one JSON object a line; a whole file on one line is not read",
                    )
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\n")
                start += len(raw)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte {start + error.start})", hint="save the file as UTF-8"
        ) from error


def parse_json(text: str, where: str, first_line: int = 1) -> object:
    """Parse one strict JSON document.

    Args:
        text: The document.
        where: The name of its file, for messages.
        first_line: The line of the file that `text` begins on.

    Returns:
        What the document holds.

    Raises:
        DataError: With file, line and column of the fault.
    """
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        what = "the JSON ends too early" if cut else f"not valid JSON: {error.msg}"
        hint = "the file seems to be cut off; copy or download it again" if cut else ""
        if text.lstrip()[:1] == "<":
            hint = "this looks like a web page saved in place of the file; check the download address"
        place = f"{where}: line {first_line + error.lineno - 1}, column {error.colno}"
        raise DataError(f"{place}: {what}", hint=hint) from error
    except _ConstantError as error:
        line, column = _constant_position(text)
        raise DataError(
            f"{where}: line {first_line + line - 1}, column {column}: {error} is not allowed in JSON",
            hint="use null for a missing number",
        ) from error
    except (RecursionError, ValueError) as error:
        # The parser does not say where; in a document of one line there is no other place.
        place = where if "\n" in text.strip() else f"{where}: line {first_line}"
        raise DataError(f"{place}: not usable JSON: nested too deeply, or a number too long") from error


def refuse_constant(name: str) -> object:
    """Refuse what strict JSON does not allow, as the decoder's `parse_constant`.

    Args:
        name: NaN or an infinity.

    Raises:
        ValueError: Always.
    """
    raise _ConstantError(name)


def _constant_position(text: str) -> tuple[int, int]:
    """Line and column of the first NaN or Infinity outside of a string."""
    for match in _STRING_OR_CONSTANT.finditer(text):
        if not match.group().startswith('"'):
            start = match.start()
            return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return 1, 1


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of some bytes as 64 hexadecimal digits.

    Args:
        data: The bytes.

    Returns:
        The digest.
    """
    return hashlib.sha256(data).hexdigest()


def digest_json(obj: object) -> str:
    """Digest a plain object by its canonical JSON: sorted keys, no spaces.

    Args:
        obj: Plain dicts, lists, strings, finite numbers, booleans and None.

    Returns:
        64 hexadecimal digits, equal for equal objects whatever the order of their keys.
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A lone surrogate can arrive from escaped JSON; it must have a digest all the same.
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def digest_file(path: Path) -> str:
    """Digest a file's bytes.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: The file cannot be read.
    """
    total = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                total.update(chunk)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return total.hexdigest()


def digest_folder(path: Path) -> str:
    """Digest every file below a folder, with its relative name.

    Args:
        path: The folder.

    Returns:
        64 hexadecimal digits; they change when a file is renamed, added, removed or edited.

    Raises:
        DataError: The folder does not exist or a file cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return digest_json([[name, digest_file(path / name)] for name in names])
