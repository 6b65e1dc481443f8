"""Reading the folder layout of Per-Pcs and PriME, in which LaMP's processed data are handed around."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from prime_audit.core import read_json
from prime_audit.data.lamp import read_golds
from prime_audit.data.lamp_forms import form_of, read_past, read_question
from prime_audit.data.records import (
    Faults,
    Place,
    as_list,
    as_object,
    note_repeats,
    read_id,
    read_text_field,
)
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import ROLES, Role, User
from prime_audit.errors import DataError

LAYOUT = "per-pcs"
PUBLIC = "user_base_LLM.json"
SHARERS = "user_anchor_candidate.json"
TARGETS = "test_100/user_test_100.json"
GOLDS = "test_100/user_test_100_label.json"
PROFILES = "profile-id2text.json"

Golds = Mapping[str, str]


def read_per_pcs(
    folder: Path, task: Task, faults: Faults, roles: Collection[Role] = ROLES
) -> tuple[User, ...]:
    """Read the public users, the candidate sharers and the test users of a folder.

    The queries of sharers are not used and not read; those of public users only where past items have
    another form, so that the base can be adapted to what is asked. Profile texts are kept where the folder
    has them.

    Args:
        folder: The folder of one task.
        task: A LaMP task.
        faults: Takes everything that is wrong.
        roles: Whom to read.

    Returns:
        The users without a fault: public, sharers, targets, each in file order.

    Raises:
        DataError: The layout does not know the task.
    """
    form_of(task, LAYOUT, str(folder))
    reader = _Reader(folder, task, faults)
    files: tuple[tuple[str, Role], ...] = ((PUBLIC, "public"), (SHARERS, "sharer"), (TARGETS, "target"))
    users = [user for name, role in files if role in roles for user in reader.users(name, role)]
    note_repeats(reader.ids, "user")
    return tuple(users)


class _Reader:
    """Reads the files of one folder; `ids` fills with every user id and its place."""

    def __init__(self, folder: Path, task: Task, faults: Faults) -> None:
        self._folder = folder
        self._task = task
        self._faults = faults
        self._profiles = self._read_profiles()
        self.ids: list[tuple[str, Place]] = []

    def users(self, name: str, role: Role) -> list[User]:
        """Read the users of one file; those of the test file get their golds."""
        golds = self._read_golds() if role == "target" else {}
        content = self._json(name)
        if content is None:
            return []
        if not isinstance(content, list):
            self._place(name).fault("expected a list of users")
            return []
        found = []
        for position, value in enumerate(content):
            user = self._user(value, role, golds, self._place(name).at(position))
            if user is not None:
                found.append(user)
        return found

    def _user(self, value: object, role: Role, golds: Golds, place: Place) -> User | None:
        before = len(self._faults.lines)
        record = as_object(value, place)
        if record is None:
            return None
        user_id = read_id(record, "user_id", "user", place)
        if user_id is not None:
            self.ids.append((user_id, place))
        history = self._items(record, "profile", place, self._past)
        queries = []
        if role == "target":
            for query, where in self._items(record, "query", place, self._question):
                queries.append((self._with_gold(query, golds, where), where))
        elif role == "public" and self._task.of_history is not None and record.get("query"):
            found = self._items(record, "query", place, self._question)
            queries = [(query, where) for query, where in found if query.answer is not None]
        note_repeats([(item.id, where) for item, where in (*history, *queries)], "item")
        profile = None
        if user_id is not None and user_id in self._profiles:
            profile = read_text_field(self._profiles, user_id, self._place(PROFILES))
        if user_id is None or len(self._faults.lines) > before:
            return None
        return User(
            id=user_id,
            role=role,
            history=tuple(item for item, _ in history),
            queries=tuple(item for item, _ in queries),
            profile_text=profile,
        )

    def _items(
        self,
        record: Mapping[str, object],
        key: str,
        place: Place,
        read: Callable[[object, Place], Item | None],
    ) -> list[tuple[Item, Place]]:
        """The faultless items of a list with their places; an empty list is a fault."""
        values = as_list(record, key, place)
        if values is not None and not values:
            place.at(key).fault(f"empty: a user needs a {'history' if key == 'profile' else 'query'}")
        before = len(self._faults.lines)
        items = []
        for position, value in enumerate(values or []):
            where = place.at(key).at(position)
            item = read(value, where)
            if item is not None:
                items.append((item, where))
        if values and not items and len(self._faults.lines) == before:
            place.at(key).fault("no item of it holds a text and an answer")
        return items

    def _past(self, value: object, place: Place) -> Item | None:
        return read_past(value, self._task, place)

    def _question(self, value: object, place: Place) -> Item | None:
        record = as_object(value, place)
        return None if record is None else read_question(record, self._task, False, place, "gold")

    def _with_gold(self, query: Item, golds: Golds, place: Place) -> Item:
        """A query with its answer from the label file, which must not contradict the query's own."""
        gold = golds.get(query.id, query.answer)
        if gold is None:
            place.fault(f"query '{query.id}' has no gold in {GOLDS}")
        elif query.answer not in (None, gold):
            place.fault(f"query '{query.id}' has another gold in {GOLDS}")
        return replace(query, answer=gold)

    def _read_golds(self) -> Golds:
        try:
            return read_golds(self._folder / GOLDS, self._task, self._faults) or {}
        except DataError as error:
            self._note(error)
            return {}

    def _read_profiles(self) -> Mapping[str, object]:
        """Unchecked profile texts by user id; the file is optional."""
        if not (self._folder / PROFILES).is_file():
            return {}
        place = self._place(PROFILES)
        content = self._json(PROFILES)
        record = as_object(content, place) if content is not None else None
        return record if record is not None else {}

    def _json(self, name: str) -> object:
        """A file's content, or None after a fault."""
        try:
            return read_json(self._folder / name)
        except DataError as error:
            self._note(error)
            return None

    def _note(self, error: DataError) -> None:
        self._faults.lines.append(f"{error}{f'; {error.hint}' if error.hint else ''}")

    def _place(self, name: str) -> Place:
        return Place(self._faults, str(self._folder / name))
