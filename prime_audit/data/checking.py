"""Checking a data set without keeping it, however long a file of LaMP's questions is."""

from dataclasses import dataclass, field
from pathlib import Path

from prime_audit.config import DataConfig
from prime_audit.core import plural
from prime_audit.data import lamp
from prime_audit.data.reading import detect_layout, read_dataset, source_of_sharers
from prime_audit.data.records import Faults, Place
from prime_audit.data.tasks import Task
from prime_audit.data.users import Dataset, Role


@dataclass
class Counts:
    """What was found in a data set.

    Attributes:
        users: Number of users by role.
        items: Number of past items; of a user with several profiles those of the first.
        queries: Number of questions.
        notes: What the reader should know.
    """

    users: dict[Role, int] = field(default_factory=dict)
    items: int = 0
    queries: int = 0
    notes: list[str] = field(default_factory=list)


def check_dataset(config: DataConfig, task: Task) -> Counts:
    """Check every record of a data set.

    Args:
        config: Where it is and in which layout; its caps are not applied.
        task: The task.

    Returns:
        What was found.

    Raises:
        ConfigError: A setting of the section `data` does not fit the layout.
        DataError: The path or the layout is wrong, or the files hold faults; all of them are listed.
    """
    path = Path(config.path or "")
    layout = detect_layout(path) if config.layout == "auto" else config.layout
    if layout != "lamp":
        return _counted(read_dataset(config, task))
    faults, counts = Faults(), Counts()
    targets = path if path.is_file() else path / lamp.TARGETS
    _drain(targets, task, "target", faults, counts)
    source = source_of_sharers(config, path)
    if source is not None and source.name.endswith(lamp.QUESTIONS):
        _drain(source, task, "sharer", faults, counts)
    faults.raise_any(str(path))
    if source is not None and not source.name.endswith(lamp.QUESTIONS):
        return _counted(read_dataset(config, task))
    if faults.empty:
        counts.notes.append(f"{plural(faults.empty, 'past item')} without text or answer left out")
    return counts


def _drain(path: Path, task: Task, role: Role, faults: Faults, counts: Counts) -> None:
    """Reads a file of questions to its end and keeps of every user a number per past item."""
    shared: dict[str, set[int]] = {}
    for question in lamp.read_questions(path, task, faults):
        counts.queries += 1
        items = {hash(item) for item in question.history}
        if question.user in shared:
            shared[question.user] &= items
        else:
            shared[question.user] = items
            counts.items += len(items)
    counts.users[role] = len(shared)
    for user, left in shared.items():
        if not left:
            Place(faults, str(path)).fault(lamp.nothing_shared(user))


def _counted(dataset: Dataset) -> Counts:
    roles: dict[Role, int] = {}
    for user in dataset.users:
        roles[user.role] = roles.get(user.role, 0) + 1
    items = sum(len(user.history) for user in dataset.users)
    queries = sum(len(user.queries) for user in dataset.users)
    return Counts(roles, items, queries, list(dataset.notes))
