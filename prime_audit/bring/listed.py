"""Two lists of records, members and non-members: what both ways of bringing one's own have in common."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prime_audit.audit.blind import date_numbers
from prime_audit.core import plural
from prime_audit.data import Item, RecordIndex
from prime_audit.data.records import Faults, Place

EVERYBODY: Final = "all"


@dataclass(frozen=True)
class Entry:
    """One record of a list, with its place in the file for messages.

    Attributes:
        id: Its name; of no other record.
        user: Whose it is; None where the file does not say.
        member: True if the model was trained on it.
        text: What was scored.
        place: Where it was read.
        prompt: What stood before it.
        date: When it was written, as the file gives it.
    """

    id: str
    user: str | None
    member: bool
    text: str | None
    place: Place
    prompt: str = ""
    date: str | None = None

    @property
    def whole(self) -> str | None:
        """Prompt and text; None where the text is not known."""
        return None if self.text is None else self.prompt + self.text


@dataclass(frozen=True, eq=False)
class Listed:
    """N records that passed every check, those of one user together.

    Attributes:
        ids: Their names.
        users: Whose they are; one name for all where the lists name nobody.
        member: ``(N,)`` True where the model was trained on the record.
        texts: Prompt and text of each; None where they are not known.
        dates: ``(N,)`` dates in days, NaN where unknown; None where none is known.
        within: Whether members are compared with non-members of the same user. False where the lists name
            nobody, or nobody has records in both.
        repeats: Non-members that nearly repeat a member.
    """

    ids: tuple[str, ...]
    users: tuple[str, ...]
    member: NDArray[np.bool_]
    texts: tuple[str, ...] | None
    dates: NDArray[np.float64] | None
    within: bool
    repeats: int

    @property
    def groups(self) -> tuple[str, ...]:
        """Who is compared with whom, ``N`` names: the users, or one name for all."""
        return self.users if self.within else (EVERYBODY,) * len(self.ids)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The groups by name, in the order of the records."""
        return tuple(dict.fromkeys(self.groups))

    @property
    def flips(self) -> Mapping[str, NDArray[np.bool_]]:
        """Membership of each group's records."""
        groups = np.array(self.groups)
        return {name: self.member[groups == name] for name in self.subjects}


def in_user_order(entries: Sequence[Entry]) -> list[Entry]:
    """Puts the records of one user together; users stay in the order of their first record."""
    first = {user: place for place, user in enumerate(dict.fromkeys(entry.user for entry in entries))}
    return sorted(entries, key=lambda entry: first[entry.user])


def listed(entries: Sequence[Entry]) -> Listed:
    """Makes the lists from records that `check_lists` found no fault in.

    Args:
        entries: The records in the order of `in_user_order`.

    Returns:
        The lists.
    """
    users = tuple(EVERYBODY if entry.user is None else entry.user for entry in entries)
    member = np.array([entry.member for entry in entries], dtype=np.bool_)
    sides: dict[str, set[bool]] = defaultdict(set)
    for user, flag in zip(users, member.tolist(), strict=True):
        sides[user].add(flag)
    texts = tuple(entry.whole for entry in entries if entry.whole is not None)
    return Listed(
        ids=tuple(entry.id for entry in entries),
        users=users,
        member=member,
        texts=texts if len(texts) == len(entries) else None,
        dates=date_numbers([entry.date for entry in entries]),
        within=entries[0].user is not None and any(len(found) == 2 for found in sides.values()),
        repeats=near_repeats([e for e in entries if not e.member], [e for e in entries if e.member]),
    )


def check_lists(entries: Sequence[Entry], faults: Faults, what: str) -> None:
    """Notes every id that is used twice, every text that is in both lists, and what only some records have.

    Args:
        entries: All records.
        faults: Takes the faults.
        what: The file or files, for a fault that concerns all records.
    """
    for member, name in ((True, "members"), (False, "non-members")):
        if not any(entry.member is member for entry in entries):
            faults.lines.append(f"{what}: there are no {name}; both kinds of records are needed")
    by_id: dict[str, Entry] = {}
    by_text: dict[str, Entry] = {}
    for entry in entries:
        earlier = by_id.setdefault(entry.id, entry)
        if earlier is not entry:
            both = "" if earlier.member is entry.member else ", as a member and as a non-member"
            entry.place.at("id").fault(f"id '{entry.id}' is used before, at {earlier.place.where}{both}")
        if entry.whole is not None:
            twin = by_text.setdefault(entry.whole, entry)
            if twin.member is not entry.member:
                entry.place.at("text").fault(
                    f"the same text is at {twin.place.where}: it cannot be a member and a non-member; "
                    "leave it out of one list"
                )
    _check_complete("user", [entry for entry in entries if entry.user is None], len(entries))
    _check_complete("text", [entry for entry in entries if entry.text is None], len(entries))


def _check_complete(key: str, without: Sequence[Entry], count: int) -> None:
    if 0 < len(without) < count:
        lacking = f"{len(without)} of {plural(count, 'record')}"
        without[0].place.at(key).fault(f"missing in {lacking}; give all or none")


def near_repeats(asked: Sequence[Entry], against: Sequence[Entry]) -> int:
    """Counts records that nearly repeat one of others.

    Args:
        asked: The records to count.
        against: Those that they may repeat.

    Returns:
        How many share at least half of their five-word runs with one, by the rule of the hold-out design.
    """
    index = RecordIndex[int](answers=False)
    for number, entry in enumerate(against):
        index.add(number, _item(entry))
    return sum(bool(index.repeated_by(_item(entry))) for entry in asked)


def _item(entry: Entry) -> Item:
    return Item(id="x", input=entry.whole or "", answer=None)
