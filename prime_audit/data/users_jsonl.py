"""Reading users.jsonl: one user per line."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from prime_audit.data.records import (
    Faults,
    Layout,
    Place,
    as_list,
    json_lines,
    note_repeats,
    read_id,
    read_item,
    read_text_field,
)
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Role, User

_LAYOUT = Layout()


def read_users_jsonl(
    path: Path, task: Task, faults: Faults, *, needs_queries: bool = True
) -> tuple[User, ...]:
    """Read a users.jsonl file. Keys that the format does not know are left aside.

    Args:
        path: The file.
        task: The task; answers must fit it.
        faults: Takes everything that is wrong.
        needs_queries: Whether a target without queries is a fault.

    Returns:
        The users without a fault, in file order.

    Raises:
        DataError: The file cannot be read at all.
    """
    users, ids = [], []
    for _, record, place in json_lines(path, faults):
        user_id = read_id(record, "user", "user", place)
        if user_id is not None:
            ids.append((user_id, place))
        user = _user(record, user_id, task, place, needs_queries)
        if user is not None:
            users.append(user)
    note_repeats(ids, "user")
    return tuple(users)


def _user(
    record: Mapping[str, object], user_id: str | None, task: Task, place: Place, needs_queries: bool
) -> User | None:
    """One user, or None after a fault."""
    before = len(place.faults.lines)
    role = _role(record, place)
    history = _items(record, "history", task.past, place, needs_answer=True, required=True)
    asked = role == "target"
    queries = _items(record, "queries", task, place, needs_answer=asked, required=asked and needs_queries)
    profile = record.get("profile_text")
    text = None if profile is None else read_text_field(record, "profile_text", place)
    note_repeats([(item.id, place.at(key).at(i)) for key, i, item in (*history, *queries)], "item")
    if user_id is None or role is None or len(place.faults.lines) > before:
        return None
    return User(
        id=user_id,
        role=role,
        history=tuple(item for _, _, item in history),
        queries=tuple(item for _, _, item in queries),
        profile_text=text,
    )


def _role(record: Mapping[str, object], place: Place) -> Role | None:
    value = record.get("role")
    for role in get_args(Role):
        if value == role:
            return role  # type: ignore[no-any-return]
    place.at("role").fault(f"expected one of {', '.join(get_args(Role))}")
    return None


def _items(
    record: Mapping[str, object], key: str, task: Task, place: Place, *, needs_answer: bool, required: bool
) -> list[tuple[str, int, Item]]:
    """The faultless items of a list, with key and position; a list that must not be empty is checked."""
    if key not in record and not required:
        return []
    values = as_list(record, key, place)
    if values is not None and not values and required:
        place.at(key).fault(
            f"empty: a {'user needs a history' if key == 'history' else 'target needs queries'}"
        )
    items = []
    for position, value in enumerate(values or []):
        item = read_item(value, _LAYOUT, task, needs_answer, place.at(key).at(position))
        if item is not None:
            items.append((key, position, item))
    return items
