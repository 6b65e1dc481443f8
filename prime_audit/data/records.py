"""Checking one record of a file: each fault is noted with its place and reading goes on."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prime_audit.core import check_id, parse_json, plural, read_lines
from prime_audit.data.dates import date_parts
from prime_audit.data.tasks import Item, Task
from prime_audit.errors import DataError

SHOWN = 50
# So many faults of one kind are printed one by one; of more, the lines of the next few are named.
ALIKE = 3
PLACES = 5
# What differs between faults of one kind: ids in quotes, line numbers and counts, and not a file's name.
_VARYING = re.compile(r"'[^']*'|(?<=[:\[ ])\d+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE = re.compile(r":(\d+)|line (\d+)")


@dataclass
class Faults:
    """Everything that is wrong with a set of files, in the order in which it was found.

    Attributes:
        lines: One fault each: its place and what is wrong.
        empty: Number of past items that were left out because they hold no text or no answer.
    """

    lines: list[str] = field(default_factory=list)
    empty: int = 0

    def raise_any(self, what: str) -> None:
        """Raise one error with the number of faults and the first 50 lines about them, if there are any.

        Args:
            what: The file or folder.

        Raises:
            DataError: There is at least one fault.
        """
        count = len(self.lines)
        if not count:
            return
        found = by_kind(self.lines)
        shown = found[:SHOWN]
        if len(found) > SHOWN:
            shown.append(f"... and {len(found) - SHOWN} more")
        raise DataError(
            f"{what}: {plural(count, 'fault')}\n" + "\n".join(shown),
            hint="each line names the file and the place; nothing was computed",
        )


def by_kind(lines: Sequence[str]) -> list[str]:
    """Group faults that differ only in their places, ids and numbers.

    Args:
        lines: One fault each: its place and what is wrong.

    Returns:
        The faults in their order; of more than three of a kind the first alone, with how many more there are
        and where.
    """
    kinds: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        kinds.setdefault(_VARYING.sub("#", line), []).append(number)
    told = list(lines)
    for first, *others in kinds.values():
        if len(others) >= ALIKE:
            told[first] += _more([lines[number] for number in others])
            for number in others:
                told[number] = ""
    return [line for line in told if line]


def _more(lines: Sequence[str]) -> str:
    numbers = dict.fromkeys(match[1] or match[2] for line in lines if (match := _LINE.search(line)))
    first = ", ".join(list(numbers)[:PLACES]) + (", ..." if len(numbers) > PLACES else "")
    where = f", at lines {first}" if len(numbers) > 1 else ""
    return f" (and {len(lines)} more like it{where})"


@dataclass(frozen=True)
class Place:
    """Where in a file a value stands; faults are noted here."""

    faults: Faults
    where: str
    separator: str = "."

    def at(self, key: str | int) -> "Place":
        """Return the place of a key of this object, or of an entry of this list.

        Args:
            key: The key or the position.

        Returns:
            The inner place.
        """
        step = f"[{key}]" if isinstance(key, int) else f"{self.separator}{key}"
        return Place(self.faults, self.where + step)

    def fault(self, text: str) -> None:
        """Note a fault.

        Args:
            text: What is wrong, without any of the user's words.
        """
        self.faults.lines.append(f"{self.where}: {text}")


@dataclass(frozen=True)
class Layout:
    """Which keys of a record hold input and answer."""

    input: str = "input"
    answer: str = "answer"
    marker: str | None = None


def json_lines(path: Path, faults: Faults) -> Iterator[tuple[int, Mapping[str, object], Place]]:
    """Read a file with one JSON object per line; blank lines are left out.

    Args:
        path: The file.
        faults: Takes every line that is no JSON object.

    Yields:
        Line number, object and place.

    Raises:
        DataError: The file cannot be read at all.
    """
    # Not splitlines: it would also split at line separators inside of a text.
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = Place(faults, f"{path}:{number}", separator=": ")
        try:
            record = as_object(parse_json(line, str(path), number), place)
        except DataError as error:
            faults.lines.append(str(error))
            continue
        if record is not None:
            yield number, record, place


def as_object(value: object, place: Place) -> Mapping[str, object] | None:
    """Return a JSON object, or note that there is none.

    Args:
        value: What the file holds.
        place: Where.

    Returns:
        The object, or None after a fault.
    """
    if isinstance(value, dict):
        return value
    place.fault(f"expected an object, found {_kind(value)}")
    return None


def as_list(record: Mapping[str, object], key: str, place: Place) -> list[object] | None:
    """Return the list under a key, or note that there is none.

    Args:
        record: The object.
        key: The key.
        place: Where the object stands.

    Returns:
        The list, or None after a fault.
    """
    value = record.get(key)
    if isinstance(value, list):
        return value
    place.at(key).fault("missing" if key not in record else f"expected a list, found {_kind(value)}")
    return None


def read_id(record: Mapping[str, object], key: str, what: str, place: Place) -> str | None:
    """Return an id; whole numbers become text.

    Args:
        record: The object.
        key: The key of the id.
        what: What it names.
        place: Where the object stands.

    Returns:
        The id, or None after a fault.
    """
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        wrong = f"expected text or a whole number, found {_kind(value)}"
        place.at(key).fault("missing" if value is None else wrong)
        return None
    try:
        return check_id(value, what)
    except DataError as error:
        place.at(key).fault(f"{error}; {error.hint}")
        return None


def read_text_field(record: Mapping[str, object], key: str, place: Place) -> str | None:
    """Return a text without white space around it.

    Args:
        record: The object.
        key: The key of the text.
        place: Where the object stands.

    Returns:
        The text, or None after a fault (missing, wrong type, empty, broken Unicode).
    """
    value = record.get(key)
    if not isinstance(value, str):
        place.at(key).fault("missing" if value is None else f"expected text, found {_kind(value)}")
        return None
    if not value.strip():
        place.at(key).fault("empty text")
        return None
    if not value.isascii() and _SURROGATE.search(value):
        place.at(key).fault("broken Unicode (half of a surrogate pair)")
        return None
    return value.strip()


def read_answer(record: Mapping[str, object], key: str, task: Task, place: Place) -> str | None:
    """Return an answer that fits the task.

    Args:
        record: The object.
        key: The key of the answer.
        task: The task; its labels are compared exactly, a whole number stands for its digits.
        place: Where the object stands.

    Returns:
        The answer, or None after a fault.
    """
    value = record.get(key)
    if task.kind != "text" and isinstance(value, int | float) and not isinstance(value, bool):
        whole = math.isfinite(value) and value == int(value)
        record = {key: str(int(value)) if whole else str(value)}
    answer = read_text_field(record, key, place)
    if answer is not None and task.labels and answer not in task.labels:
        place.at(key).fault(f"not one of the {len(task.labels)} labels of {task.id}")
        return None
    return answer


def read_said(record: Mapping[str, object], key: str, place: Place) -> str | None:
    """Return what a model said: any text, or a number as its digits.

    Args:
        record: The object.
        key: The key of the text.
        place: Where the object stands.

    Returns:
        The text, or None after a fault.
    """
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value
    place.at(key).fault("missing" if key not in record else f"expected text, found {_kind(value)}")
    return None


def read_item(value: object, layout: Layout, task: Task, needs_answer: bool, place: Place) -> Item | None:
    """Return one record.

    Args:
        value: What the file holds.
        layout: Which keys hold input and answer; after a marker, only what follows it is the input.
        task: The task.
        needs_answer: Whether a record without an answer is a fault.
        place: Where the record stands.

    Returns:
        The record, or None after at least one fault.
    """
    record = as_object(value, place)
    if record is None:
        return None
    item_id = read_id(record, "id", "item", place)
    text = read_text_field(record, layout.input, place)
    if text is not None and layout.marker is not None:
        text = _after(text, layout.marker, place.at(layout.input))
    has_answer = record.get(layout.answer) is not None
    answer = read_answer(record, layout.answer, task, place) if has_answer or needs_answer else None
    date = read_date(record, place)
    if item_id is None or text is None or (answer is None and (has_answer or needs_answer)) or date is False:
        return None
    return Item(id=item_id, input=text, answer=answer, date=date)


def read_date(record: Mapping[str, object], place: Place) -> str | Literal[False] | None:
    """Return when a record was written, as the data give it: a day, a year alone, or nothing.

    Args:
        record: The object.
        place: Where it stands.

    Returns:
        The date as text, None without one, False after a fault.
    """
    date = record.get("date")
    if date is None:
        return None
    if isinstance(date, bool) or not isinstance(date, str | int):
        place.at("date").fault(f"expected text, found {_kind(date)}")
        return False
    if not date_parts(str(date)):
        # What is later than a question could not be told from it.
        place.at("date").fault("expected a date with the year first (2015, 2015-03-01) or a time stamp")
        return False
    return str(date)


def note_repeats(ids: list[tuple[str, Place]], what: str) -> None:
    """Note every id that appears again; those of users must differ in more than case.

    Args:
        ids: Each id with its place.
        what: What the ids name.
    """
    first: dict[str, str] = {}
    for name, place in ids:
        # A user's id becomes the name of a folder, and not every file system tells Ann from ann.
        same = name.casefold() if what == "user" else name
        if same in first:
            place.fault(f"{what} id '{name}' is used before, at {first[same]}")
        else:
            first[same] = place.where


def _after(text: str, marker: str, place: Place) -> str | None:
    """What follows the first occurrence of a marker: the user's own text may hold the marker again."""
    _, found, rest = text.partition(marker)
    if not found:
        place.fault(f"the marker '{marker}' is missing")
        return None
    if not rest.strip():
        place.fault(f"empty text after the marker '{marker}'")
        return None
    return rest.strip()


def _kind(value: object) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")
