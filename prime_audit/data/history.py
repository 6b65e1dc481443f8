"""Reading the history of the one person that is personalised for."""

from pathlib import Path

from prime_audit.core import parse_json, printable, read_lines
from prime_audit.data.records import Faults, Layout, json_lines, note_repeats, read_item
from prime_audit.data.tasks import Task
from prime_audit.data.users import User
from prime_audit.data.users_jsonl import read_users_jsonl
from prime_audit.errors import DataError

_LAYOUT = Layout()


def read_history(path: Path, task: Task) -> User:
    """Read a history: a users.jsonl with one target, or one item per line.

    Args:
        path: The file. An item is `{"id"?, "input", "answer", "date"?}`; without an id it is named by its
            line. In a users.jsonl the target needs no queries, and users of other roles are left aside.
        task: The task; answers must fit it.

    Returns:
        The target; it is called `target` if the file names nobody.

    Raises:
        DataError: The file cannot be read, has no or several targets, or holds faults; all are listed.
    """
    return _one_target(path, task) if _holds_users(path) else _items(path, task.past)


def _holds_users(path: Path) -> bool:
    """Tell a users.jsonl by its first line; a line that is no JSON is left to the reader of items."""
    first = next((line for line in read_lines(path) if line.strip()), "")
    try:
        record = parse_json(first, str(path))
    except DataError:
        return False
    return isinstance(record, dict) and bool({"user", "role", "history"} & set(record))


def _one_target(path: Path, task: Task) -> User:
    faults = Faults()
    users = read_users_jsonl(path, task, faults, needs_queries=False)
    faults.raise_any(str(path))
    targets = [user for user in users if user.role == "target"]
    if len(targets) != 1:
        names = ", ".join(user.id for user in targets[:5])
        raise DataError(
            f"{path}: holds {len(targets)} users of role 'target'{f' ({names})' if names else ''}; "
            "one person is personalised for at a time",
            hint="keep the line of one target",
        )
    return targets[0]


def _items(path: Path, task: Task) -> User:
    faults = Faults()
    items, ids = [], []
    for number, record, place in json_lines(path, faults):
        named = record if record.get("id") is not None else {**record, "id": f"line-{number}"}
        item = read_item(named, _LAYOUT, task, True, place)
        if item is not None:
            items.append(item)
            ids.append((item.id, place))
    note_repeats(ids, "item")
    faults.raise_any(printable(str(path)))
    if not items:
        raise DataError(f"{path}: there is no item in it", hint="give one item per line, as JSON")
    return User(id="target", role="target", history=tuple(items), queries=())
