"""Reading LaMP's own layout: a file of questions, each with its author's profile, and a file of answers.

The dev split holds the targets, the train split the candidate sharers. A person may have several questions;
their history is what all their profiles share, so that no question's answer stands in it (in the time-based
split a later profile holds what an earlier question asks for).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prime_audit.core import digest_json, plural, read_json, read_json_list
from prime_audit.data.lamp_forms import form_of, read_past, read_question, tasks_named
from prime_audit.data.records import (
    Faults,
    Place,
    as_list,
    as_object,
    note_repeats,
    read_answer,
    read_id,
    read_said,
)
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Role, User
from prime_audit.errors import DataError

LAYOUT = "lamp"
QUESTIONS, OUTPUTS = "_questions.json", "_outputs.json"
TARGETS, SHARERS = f"dev{QUESTIONS}", f"train{QUESTIONS}"


@dataclass(frozen=True)
class Question:
    """One question of a file.

    Attributes:
        user: Whose it is: the file's `user_id`, or a digest of the profile where it names nobody.
        query: The question with its answer.
        history: The profile that came with it.
    """

    user: str
    query: Item
    history: tuple[Item, ...]


@dataclass
class _Person:
    queries: list[Item] = field(default_factory=list)
    history: tuple[Item, ...] = ()


class AlsoTargets:
    """Tells who of the train split is a target as well: nobody shares a module with themselves.

    Where the files name nobody, a user who has a record of a target counts as that target.

    Attributes:
        found: The ids of those who are.
    """

    def __init__(self, targets: Sequence[User]) -> None:
        """Remember the targets.

        Args:
            targets: Users of the dev split.
        """
        self._names = {user.id for user in targets}
        self._records = {item for user in targets if _is_digest(user.id) for item in user.history}
        self.found: set[str] = set()

    def __call__(self, user: str, history: Sequence[Item]) -> bool:
        """Tell whether somebody is a target.

        Args:
            user: The user's id.
            history: Their past items.

        Returns:
            True if they are.
        """
        unnamed = _is_digest(user) and any(item in self._records for item in history)
        if user in self._names or unnamed:
            self.found.add(user)
        return user in self.found

    @property
    def note(self) -> str:
        """What to tell the reader, or an empty text."""
        count = len(self.found)
        return f"{plural(count, 'candidate sharer')} left out: targets as well" if count else ""


def read_lamp(
    path: Path,
    task: Task,
    faults: Faults,
    role: Role,
    keep: int | None = None,
    leave_out: AlsoTargets | None = None,
) -> list[User]:
    """Read the users of one file of questions, with the answers in the file beside it.

    Args:
        path: The file; its name ends in `_questions.json`.
        task: The task.
        faults: Takes everything that is wrong.
        role: What the users are.
        keep: Keep the first so many users; the others are checked and let go.
        leave_out: Tells whom not to keep.

    Returns:
        The users without a fault, in the order of their first question.

    Raises:
        DataError: A file cannot be read at all, or the layout does not know the task.
    """
    people: dict[str, _Person] = {}
    for question in read_questions(path, task, faults):
        if question.user not in people:
            if leave_out is not None and leave_out(question.user, question.history):
                continue
            if keep is not None and len(people) >= keep:
                continue
            people[question.user] = _Person(history=question.history)
        person = people[question.user]
        person.queries.append(question.query)
        if question.history != person.history:
            shared = set(question.history)
            person.history = tuple(item for item in person.history if item in shared)
    for name, person in people.items():
        if not person.history:
            Place(faults, str(path)).fault(nothing_shared(name))
    return [
        User(id=name, role=role, history=person.history, queries=tuple(person.queries))
        for name, person in people.items()
    ]


def read_questions(path: Path, task: Task, faults: Faults) -> Iterator[Question]:
    """Read questions one after another, however long the file is.

    Args:
        path: The file of questions.
        task: The task.
        faults: Takes everything that is wrong; golds and questions must match one to one.

    Yields:
        The questions without a fault.

    Raises:
        DataError: A file cannot be read at all, or the layout does not know the task.
    """
    form_of(task, LAYOUT, str(path))
    outputs = outputs_beside(path)
    golds = read_golds(outputs, task, faults)
    ids: dict[str, str] = {}
    for position, value in enumerate(read_json_list(path)):
        place = Place(faults, f"{path}[{position}]")
        record = as_object(value, place)
        if record is None:
            continue
        name = read_id(record, "id", "query", place)
        # Also where the id or the gold is at fault: all that is wrong is listed at once.
        question = _question({**record, "id": name or "0"}, task, place)
        if name is None:
            continue
        if name in ids:
            place.fault(f"query id '{name}' is used before, at {ids[name]}")
            continue
        ids[name] = place.where
        if golds is None:
            continue
        if name not in golds:
            place.fault(f"query '{name}' has no gold in {outputs.name}")
        elif question is not None and question.query.answer not in (None, golds[name]):
            place.fault(f"query '{name}' has another gold in the file of golds")
        elif question is not None:
            yield replace(question, query=replace(question.query, answer=golds[name]))
    for name in golds or ():
        if name not in ids:
            Place(faults, str(outputs)).fault(f"gold '{name}' has no question in {path.name}")


def read_golds(
    path: Path, task: Task, faults: Faults, *, predictions: bool = False
) -> Mapping[str, str] | None:
    """Read a file of golds or predictions.

    Args:
        path: The file: `{"task", "golds": [{"id", "output"}]}`.
        task: The task it must be of.
        faults: Takes everything that is wrong.
        predictions: Take what a model said, which may be no label and no word at all.

    Returns:
        The answers without a fault by question id; None if the file as a whole is not usable.

    Raises:
        DataError: The file cannot be read at all.
    """
    place = Place(faults, str(path))
    record = as_object(read_json(path), place)
    if record is None:
        return None
    if "task" in record and task.id not in tasks_named(record["task"]):
        place.at("task").fault(f"these golds are not of task {task.id}")
        return None
    golds: dict[str, str] = {}
    ids: list[tuple[str, Place]] = []
    entries = as_list(record, "golds", place)
    if entries is None:
        return None
    for position, value in enumerate(entries):
        where = place.at("golds").at(position)
        entry = as_object(value, where)
        name = read_id(entry, "id", "query", where) if entry is not None else None
        if entry is None or name is None:
            continue
        ids.append((name, where))
        answer = (
            read_said(entry, "output", where) if predictions else read_answer(entry, "output", task, where)
        )
        if answer is not None:
            golds[name] = answer
    note_repeats(ids, "query")
    return golds


def read_predictions(path: Path, golds: Path, task: Task) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Read predictions in LaMP's submission format, and the golds that they are about.

    Args:
        path: The predictions; an output may be anything that a model says.
        golds: The golds.
        task: The task of both.

    Returns:
        Predictions and golds by query id.

    Raises:
        DataError: A file cannot be read or holds faults; all of them are listed.
    """
    faults = Faults()
    said = read_golds(path, task, faults, predictions=True)
    right = read_golds(golds, task, faults)
    faults.raise_any(str(path))
    return said or {}, right or {}


def outputs_beside(path: Path) -> Path:
    """Return the file of answers that belongs to a file of questions.

    Args:
        path: The file of questions.

    Returns:
        Its neighbour's path.

    Raises:
        DataError: The name does not end in `_questions.json`.
    """
    if not path.name.endswith(QUESTIONS):
        raise DataError(f"{path}: the name of a file of questions ends in {QUESTIONS}")
    return path.with_name(path.name.removesuffix(QUESTIONS) + OUTPUTS)


def nothing_shared(user: str) -> str:
    """Say that a user's profiles have no item in common.

    Args:
        user: The user's id.

    Returns:
        The fault.
    """
    return f"user '{user}': no item stands in all profiles of this user"


def _question(record: Mapping[str, object], task: Task, place: Place) -> Question | None:
    before = len(place.faults.lines)
    query = read_question(record, task, False, place)
    entries = as_list(record, "profile", place)
    if entries is not None and not entries:
        place.at("profile").fault("empty: a user needs a history")
    found = [
        (item, place.at("profile").at(position))
        for position, value in enumerate(entries or [])
        if (item := read_past(value, task, place.at("profile").at(position))) is not None
    ]
    note_repeats([(item.id, where) for item, where in found], "item")
    history = tuple(item for item, _ in found)
    user = _user(record, history, place)
    if query is None or user is None or len(place.faults.lines) > before:
        return None
    if not history:
        place.at("profile").fault("no item of it holds a text and an answer")
        return None
    return Question(user, query, history)


_UNNAMED = "user-"


def _user(record: Mapping[str, object], history: tuple[Item, ...], place: Place) -> str | None:
    """The person's id; of a question that names nobody, people are told apart by their profiles."""
    if record.get("user_id") is not None:
        return read_id(record, "user_id", "user", place)
    return f"{_UNNAMED}{digest_json([[item.id, item.input, item.answer] for item in history])[:12]}"


def _is_digest(user: str) -> bool:
    return user.startswith(_UNNAMED) and len(user) == len(_UNNAMED) + 12
