"""Reading the folder layout of Per-Pcs and PriME, in which LaMP's processed data are handed around."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from prime_audit.core import read_json
from prime_audit.data.records import (
    Faults,
    Layout,
    Place,
    as_list,
    as_object,
    note_repeats,
    read_answer,
    read_id,
    read_item,
    read_text_field,
)
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Role, User
from prime_audit.errors import DataError

PUBLIC = "user_base_LLM.json"
SHARERS = "user_anchor_candidate.json"
TARGETS = "test_100/user_test_100.json"
GOLDS = "test_100/user_test_100_label.json"
PROFILES = "profile-id2text.json"

# Which keys of a profile item are the input and the answer.
_PROFILE_KEYS = {
    "lamp-2": Layout("description", "tag"),
    "lamp-3": Layout("text", "score"),
    "lamp-4": Layout("text", "title"),
}
_TASK_NAMES = {"LaMP_2": "lamp-2", "LaMP_2M": "lamp-2", "LaMP_3": "lamp-3", "LaMP_4": "lamp-4"}

Golds = Mapping[str, str]


def read_per_pcs(folder: Path, task: Task, faults: Faults) -> tuple[User, ...]:
    """Read the public users, the candidate sharers and the test users of a folder.

    The queries of public users and sharers are not used and not read. Profile texts are kept where the
    folder has them.

    Args:
        folder: The folder of one task.
        task: A LaMP task.
        faults: Takes everything that is wrong.

    Returns:
        The users without a fault: public, sharers, targets, each in file order.

    Raises:
        DataError: The layout does not know the task.
    """
    if task.id not in _PROFILE_KEYS:
        raise DataError(
            f"{folder}: the per-pcs layout does not hold task {task.id}",
            hint=f"it is for {', '.join(_PROFILE_KEYS)}; write your own users as users.jsonl",
        )
    reader = _Reader(folder, task, faults)
    users = [*reader.users(PUBLIC, "public"), *reader.users(SHARERS, "sharer")]
    users += reader.users(TARGETS, "target")
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
        history = self._items(record, "profile", _PROFILE_KEYS[self._task.id], place)
        queries = []
        if role == "target":
            layout = Layout("input", "gold", self._task.query_marker)
            for query, where in self._items(record, "query", layout, place):
                queries.append((self._with_gold(query, golds, where), where))
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
        self, record: Mapping[str, object], key: str, layout: Layout, place: Place
    ) -> list[tuple[Item, Place]]:
        """The faultless items of a list with their places; an empty list is a fault."""
        values = as_list(record, key, place)
        if values is not None and not values:
            place.at(key).fault(f"empty: a user needs a {'history' if key == 'profile' else 'query'}")
        items = []
        for position, value in enumerate(values or []):
            where = place.at(key).at(position)
            item = read_item(value, layout, self._task, key == "profile", where)
            if item is not None:
                items.append((item, where))
        return items

    def _with_gold(self, query: Item, golds: Golds, place: Place) -> Item:
        """A query with its answer from the label file, which must not contradict the query's own."""
        gold = golds.get(query.id, query.answer)
        if gold is None:
            place.fault(f"query '{query.id}' has no gold in {GOLDS}")
        elif query.answer not in (None, gold):
            place.fault(f"query '{query.id}' has another gold in {GOLDS}")
        return replace(query, answer=gold)

    def _read_golds(self) -> Golds:
        place = self._place(GOLDS)
        record = as_object(content, place) if (content := self._json(GOLDS)) is not None else None
        if record is None:
            return {}
        named = record.get("task")
        if named is not None and _TASK_NAMES.get(str(named)) != self._task.id:
            place.at("task").fault(f"these golds are not of task {self._task.id}")
            return {}
        golds: dict[str, str] = {}
        ids: list[tuple[str, Place]] = []
        for position, value in enumerate(as_list(record, "golds", place) or []):
            where = place.at("golds").at(position)
            entry = as_object(value, where)
            name = read_id(entry, "id", "query", where) if entry is not None else None
            if entry is None or name is None:
                continue
            ids.append((name, where))
            answer = read_answer(entry, "output", self._task, where)
            if answer is not None:
                golds[name] = answer
        note_repeats(ids, "query")
        return golds

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
            self._faults.lines.append(f"{error}{f'; {error.hint}' if error.hint else ''}")
            return None

    def _place(self, name: str) -> Place:
        return Place(self._faults, str(self._folder / name))
