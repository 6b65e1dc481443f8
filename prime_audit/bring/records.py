"""Reading lists of records to score with a model: one JSON object per line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prime_audit.bring import fields
from prime_audit.bring.listed import Entry, check_lists, in_user_order
from prime_audit.data.records import Faults, Place, json_lines
from prime_audit.errors import DataError


@dataclass(frozen=True)
class RecordLists:
    """The records that an audited model is asked about.

    Attributes:
        entries: Members and non-members, those of one user together.
        public: Records that nobody trained on, for attacks that compare with such.
    """

    entries: tuple[Entry, ...]
    public: tuple[Entry, ...]


def read_lists(members: Path, nonmembers: Path, public: Path | None = None) -> RecordLists:
    """Reads both lists, and the public records where there are some.

    Args:
        members: Records that the model was trained on: `{"id", "user"?, "prompt"?, "text", "date"?}` a line.
        nonmembers: Records that it was not trained on.
        public: Records that nobody trained on and that are in neither list.

    Returns:
        The records.

    Raises:
        DataError: A file cannot be read, or they hold faults; all of them are listed with line and key.
    """
    faults = Faults()
    entries = [*_records(members, True, faults), *_records(nonmembers, False, faults)]
    known = [] if public is None else _records(public, False, faults)
    what = f"{members} and {nonmembers}"
    faults.raise_any(what)
    check_lists(entries, faults, what)
    _check_public(entries, known)
    faults.raise_any(what)
    if public is not None and not known:
        raise DataError(f"{public}: there is no record in it", hint="leave out --public, or fill the file")
    return RecordLists(tuple(in_user_order(entries)), tuple(known))


def _records(path: Path, member: bool, faults: Faults) -> list[Entry]:
    read = (_record(record, member, place) for _, record, place in json_lines(path, faults))
    return [entry for entry in read if entry is not None]


def _record(record: Mapping[str, object], member: bool, place: Place) -> Entry | None:
    """One record, or None after a fault."""
    before = len(place.faults.lines)
    name, text = fields.record_id(record, place), fields.text(record, "text", place)
    user, when = fields.user_id(record, place), fields.date(record, place)
    prompt = "" if record.get("prompt") is None else fields.text(record, "prompt", place, empty=True)
    if name is None or text is None or prompt is None or len(place.faults.lines) > before:
        return None
    return Entry(name, user, member, text, place, prompt, when)


def _check_public(entries: Sequence[Entry], public: Sequence[Entry]) -> None:
    """Notes every public record that is in one of the lists."""
    listed = {entry.whole: entry for entry in entries}
    for entry in public:
        if entry.whole in listed:
            where = listed[entry.whole].place.where
            entry.place.at("text").fault(f"the same text is at {where}; public records are in neither list")
