"""Reading a study's users from disk: the layout is recognised, every fault listed, the caps applied."""

from pathlib import Path
from typing import Literal

from prime_audit.config import DataConfig
from prime_audit.data.per_pcs import SHARERS, TARGETS, read_per_pcs
from prime_audit.data.records import Faults
from prime_audit.data.tasks import Task
from prime_audit.data.users import Dataset, Role, User, make_dataset, shortened
from prime_audit.data.users_jsonl import read_users_jsonl
from prime_audit.errors import DataError

USERS = "users.jsonl"


def read_dataset(config: DataConfig, task: Task) -> Dataset:
    """Read users and records.

    Args:
        config: Where they are, in which layout, and how many of them to take (the first ones).
        task: What is asked; answers must fit it.

    Returns:
        The dataset.

    Raises:
        DataError: The path or the layout is wrong, or the files hold faults; all of them are listed.
    """
    if config.path is None:
        raise DataError("this study names no data", hint="set data.path or give --data")
    path = Path(config.path)
    layout = detect_layout(path) if config.layout == "auto" else config.layout
    faults = Faults()
    if layout == "users":
        users = read_users_jsonl(path / USERS if path.is_dir() else path, task, faults)
    else:
        users = read_per_pcs(path, task, faults)
    faults.raise_any(str(path))
    if not users:
        raise DataError(f"{path}: there is no user in it")
    users = _capped(users, "sharer", config.sharers, path)
    users = _capped(users, "target", config.targets, path)
    return make_dataset(task, shortened(users, config.max_input_words))


def detect_layout(path: Path) -> Literal["users", "per-pcs"]:
    """Tell from the files what layout a path has.

    Args:
        path: A users.jsonl file, or a folder.

    Returns:
        `users` or `per-pcs`.

    Raises:
        DataError: The path does not exist, or it has no layout or two.
    """
    if path.is_file():
        return "users"
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder", hint="check data.path, or give --data")
    users, per_pcs = (path / USERS).is_file(), _is_per_pcs(path)
    if users and per_pcs:
        raise DataError(
            f"{path}: holds both {USERS} and the per-pcs files", hint="set data.layout to users or per-pcs"
        )
    if users or per_pcs:
        return "users" if users else "per-pcs"
    inner = sorted(child.name for child in path.iterdir() if child.is_dir() and _is_per_pcs(child))
    hint = (
        f"did you mean a folder in it: {', '.join(inner)}?"
        if inner
        else "a data folder holds users.jsonl, or the files of the Per-Pcs layout"
    )
    raise DataError(f"{path}: neither {USERS} nor {SHARERS} is in this folder", hint=hint)


def _is_per_pcs(path: Path) -> bool:
    return (path / SHARERS).is_file() or (path / TARGETS).is_file()


def _capped(users: tuple[User, ...], role: Role, count: int | None, path: Path) -> tuple[User, ...]:
    """Keep the first so many users of a role; to ask for more than there are is an error."""
    ids = [user.id for user in users if user.role == role]
    if count is None:
        return users
    if count > len(ids):
        raise DataError(
            f"{path}: data.{role}s asks for {count} {role}s, but there are {len(ids)}",
            hint=f"lower data.{role}s, or set it to null for all of them",
        )
    dropped = set(ids[count:])
    return tuple(user for user in users if user.id not in dropped)
