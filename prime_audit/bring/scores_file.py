"""Reading scores that were made elsewhere: CSV or JSON lines, a score or log-probabilities per record."""

import csv
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.bring import fields
from prime_audit.bring.listed import Entry, Listed, check_lists, in_user_order, listed
from prime_audit.core import parse_json, plural, printable, read_text
from prime_audit.data.records import Faults, Place, json_lines
from prime_audit.errors import DataError

COLUMNS: Final = ("id", "user", "member", "score", "logp", "base_logp", "text", "date")
_NUMBERS: Final = ("logp", "base_logp")
_OTHER_MARKS: Final = {";": "semicolons", "\t": "tabs"}
_Rows = Iterator[tuple[int, Mapping[str, object], Place]]


@dataclass(frozen=True, eq=False)
class ScoresFile:
    """What a file of scores holds: a score per record, or the log-probabilities of its tokens.

    Attributes:
        listed: The records.
        score: ``(N,)`` scores as they stand; None where the file holds log-probabilities.
        target: Log-probabilities under the audited model; None where the file holds scores.
        reference: Log-probabilities of the same tokens under the base; None without.
        held: The parts of the evidence that the file holds.
        ignored: Columns that mean nothing here.
    """

    listed: Listed
    score: NDArray[np.float64] | None
    target: TokenScores | None
    reference: TokenScores | None
    held: frozenset[str]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Row:
    entry: Entry
    score: float | None
    logp: NDArray[np.float64] | None
    base_logp: NDArray[np.float64] | None


def read_scores(path: Path) -> ScoresFile:
    """Reads a file of scores.

    Args:
        path: CSV with a header, or one JSON object per line: `id`, `member`, and `score` or `logp`; `user`,
            `base_logp`, `text` and `date` where known. `logp` is a list of natural log-probabilities, one
            per token; in CSV a JSON list, or numbers with spaces between them.

    Returns:
        What it holds.

    Raises:
        DataError: The file cannot be read or holds faults; all of them are listed with line and key.
    """
    faults = Faults()
    rows = list(_csv_rows(path, faults) if _is_csv(path) else json_lines(path, faults))
    columns = tuple(dict.fromkeys(key for _, record, _ in rows for key in record))
    _check_columns(columns, rows, path, faults)
    read = [row for _, record, place in rows if (row := _row(record, columns, place)) is not None]
    faults.raise_any(str(path))
    check_lists([row.entry for row in read], faults, str(path))
    faults.raise_any(str(path))
    by_id = {row.entry.id: row for row in read}
    entries = in_user_order([row.entry for row in read])
    return _assembled(entries, [by_id[entry.id] for entry in entries], columns)


def _is_csv(path: Path) -> bool:
    if path.suffix.lower() in (".csv", ".jsonl", ".json", ".ndjson"):
        return path.suffix.lower() == ".csv"
    return not read_text(path).lstrip().startswith("{")


def _csv_rows(path: Path, faults: Faults) -> _Rows:
    """Yields line number, record and place of each row; cells become numbers and lists where they can."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"{path}: the header names '{printable(twice[0], 40)}' twice")
        for mark, name in _OTHER_MARKS.items():
            if len(names) == 1 and mark in names[0]:
                raise DataError(
                    f"{path}: the header is one cell with {name} in it",
                    hint=f"save it with commas instead of {name} (and with points in decimal numbers)",
                )
        reader.fieldnames = names
        for row in reader:
            # The reader stands at the row's last line, and a cell may hold line breaks. Cells beyond the
            # header stand in a list under None.
            cells = [cell for cell in row.values() if isinstance(cell, str)]
            line = reader.line_num - sum(cell.count("\n") for cell in cells)
            place = Place(faults, f"{path}:{line}", separator=": ")
            if len(row) != len(names):
                place.fault(f"more cells than the {len(names)} of the header")
                continue
            yield line, {key: _cell(key, cell) for key, cell in row.items()}, place
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: not readable as CSV: {error}",
            hint="save it as CSV with commas and double quotes, or as one JSON object per line",
        ) from error


def _cell(key: str, cell: str | None) -> object:
    """Turns a cell into what JSON would hold; what cannot be turned stays text, and is refused by its key."""
    if cell is None or not cell.strip():
        return None
    if key == "score":
        return _float(cell)
    if key not in _NUMBERS:
        return cell
    if not cell.lstrip().startswith("["):
        return [_float(word) for word in cell.split()]
    try:
        return parse_json(cell, key)
    except DataError:
        return cell


def _float(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def _check_columns(columns: Sequence[str], rows: Sequence[object], path: Path, faults: Faults) -> None:
    """Refuses a file that holds no records, or not exactly one kind of score."""
    if not rows and not faults.lines:
        raise DataError(f"{path}: there is no record in it", hint="one record a line, below a header if CSV")
    found = [key for key in ("score", "logp") if key in columns]
    names = ", ".join(printable(str(column), 40) for column in columns)
    # Said once, and not of every record.
    if rows and (absent := [key for key in ("id", "member") if key not in columns]):
        raise DataError(
            f"{path}: no record has {' or '.join(map(repr, absent))}, but: {names}",
            hint="'member' is true for records that were trained on; every record needs an id of its own",
        )
    if rows and len(found) != 1:
        has = "both 'score' and 'logp'" if found else f"neither 'score' nor 'logp', but: {names}"
        raise DataError(f"{path}: holds {has}", hint="give one of them for every record")
    if rows and "base_logp" in columns and "logp" not in columns:
        raise DataError(f"{path}: holds 'base_logp' without 'logp'", hint="give both, or the score alone")


def _row(record: Mapping[str, object], columns: Sequence[str], place: Place) -> _Row | None:
    """One record, or None after a fault."""
    before = len(place.faults.lines)
    name, member = fields.record_id(record, place), fields.flag(record, "member", place)
    user, when = fields.user_id(record, place), fields.date(record, place)
    # `check_lists` finds the records that alone lack a text.
    words = None if record.get("text") is None else fields.text(record, "text", place)
    score = fields.number(record, "score", place) if "score" in columns else None
    logp, base_logp = (
        fields.log_probabilities(record, key, place) if key in columns else None for key in _NUMBERS
    )
    if logp is not None and base_logp is not None and len(logp) != len(base_logp):
        count = plural(len(base_logp), "token")
        place.at("base_logp").fault(f"has {count}, 'logp' has {len(logp)}; both cut alike")
    if name is None or member is None or len(place.faults.lines) > before:
        return None
    return _Row(Entry(name, user, member, words, place, date=when), score, logp, base_logp)


def _assembled(entries: Sequence[Entry], rows: Sequence[_Row], columns: Sequence[str]) -> ScoresFile:
    texts = [entry.text for entry in entries if entry.text is not None]
    scores = [row.score for row in rows if row.score is not None]
    target, reference = (
        _token_scores([values for values in found if values is not None], texts)
        for found in ([row.logp for row in rows], [row.base_logp for row in rows])
    )
    held = {"logp"} if target is not None else set()
    held |= {"reference"} if reference is not None else set()
    held |= {"compressed_bytes"} if target is not None and texts else set()
    return ScoresFile(
        listed=listed(entries),
        score=np.array(scores) if scores else None,
        target=target,
        reference=reference,
        held=frozenset(held),
        ignored=tuple(column for column in columns if column not in COLUMNS),
    )


def _token_scores(values: Sequence[NDArray[np.float64]], texts: Sequence[str]) -> TokenScores | None:
    """Makes token scores of log-probabilities.

    The arrays that nobody measured mean nothing: only attacks that do not need them may run, and it is
    `ScoresFile.held` that says so.
    """
    if not values:
        return None
    logp = np.concatenate(values) if any(map(len, values)) else np.empty(0)
    blank = np.zeros(len(logp))
    sizes = [len(zlib.compress(text.encode("utf-8"))) for text in texts] or [1] * len(values)
    return TokenScores(
        offsets=np.cumsum([0, *map(len, values)], dtype=np.int64),
        logp=logp,
        mean_logp=blank,
        std_logp=blank,
        is_argmax=np.zeros(len(logp), dtype=np.bool_),
        token=np.zeros(len(logp), dtype=np.int64),
        compressed_bytes=np.array(sizes, dtype=np.int64),
    )
