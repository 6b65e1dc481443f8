"""Writing users in any layout; what is written is read back as the same records."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from prime_audit.core import atomic_write_text, write_json
from prime_audit.data import lamp, per_pcs
from prime_audit.data.lamp_forms import Form, form_of, write_past, write_question
from prime_audit.data.reading import USERS, LayoutName
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Dataset, User
from prime_audit.errors import DataError, OutputError

# Sharers and public users without answered queries have no place in LaMP's layout; this file holds them.
OTHERS = "sharers.jsonl"


def write_dataset(dataset: Dataset, layout: LayoutName, out: Path) -> list[Path]:
    """Write a dataset.

    Args:
        dataset: The users with their task.
        layout: How: `users` (one users.jsonl), `per-pcs`, or `lamp`. In LaMP's layout sharers and public
            users go to the train split if all of them have answered queries, else to `sharers.jsonl`, which
            `--sharers` reads.
        out: An empty or new folder.

    Returns:
        The files that were written, readable by their owner alone.

    Raises:
        DataError: The layout cannot hold the task or two users' queries with one id.
        OutputError: The folder is not empty or cannot be written.
    """
    files = _WRITERS[layout](dataset, str(out))
    _claim(out)
    paths = []
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if isinstance(content, str):
            atomic_write_text(path, content)
        else:
            write_json(path, content)
        paths.append(path)
    return paths


def _claim(out: Path) -> None:
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = bool(os.listdir(out))
    except OSError as error:
        raise OutputError(f"{out}: this folder cannot be made: {error.strerror or error}") from error
    if used:
        raise OutputError(f"{out}: this folder is not empty", hint="choose a new one; nothing was written")


def _users(dataset: Dataset, where: str) -> Mapping[str, object]:
    return {USERS: _lines(dataset.users)}


def _lines(users: Sequence[User]) -> str:
    return "".join(json.dumps(_user(user), ensure_ascii=False) + "\n" for user in users)


def _user(user: User) -> dict[str, object]:
    profile = {"profile_text": user.profile_text} if user.profile_text is not None else {}
    return {
        "user": user.id,
        "role": user.role,
        "history": [_item(item) for item in user.history],
        "queries": [_item(item) for item in user.queries],
        **profile,
    }


def _item(item: Item) -> dict[str, str]:
    fields = {"id": item.id, "input": item.input, "answer": item.answer, "date": item.date}
    return {name: value for name, value in fields.items() if value is not None}


def _per_pcs(dataset: Dataset, where: str) -> Mapping[str, object]:
    task, form = dataset.task, form_of(dataset.task, per_pcs.LAYOUT, where)
    check_query_ids(dataset.targets, where)

    def users(found: Sequence[User], golds: bool) -> list[dict[str, object]]:
        return [
            {
                "user_id": user.id,
                "profile": [write_past(item, task) for item in user.history],
                "query": [_question(query, task, golds) for query in user.queries],
            }
            for user in found
        ]

    files: dict[str, object] = {
        per_pcs.PUBLIC: users(dataset.public, True),
        per_pcs.SHARERS: users(dataset.sharers, True),
        per_pcs.TARGETS: users(dataset.targets, False),
        per_pcs.GOLDS: golds_file(form.per_pcs, _golds(dataset.targets)),
    }
    profiles = {user.id: user.profile_text for user in dataset.users if user.profile_text is not None}
    return {**files, per_pcs.PROFILES: profiles} if profiles else files


def _lamp(dataset: Dataset, where: str) -> Mapping[str, object]:
    task, form = dataset.task, form_of(dataset.task, lamp.LAYOUT, where)
    files = _split("dev", dataset.targets, task, form, where)
    others = (*dataset.sharers, *dataset.public)
    if not others:
        return files
    answered = all(user.queries and all(query.answer for query in user.queries) for user in others)
    if answered:
        return {**files, **_split("train", others, task, form, where)}
    return {**files, OTHERS: _lines(others)}


def _split(split: str, users: Sequence[User], task: Task, form: Form, where: str) -> dict[str, object]:
    check_query_ids(users, where)
    questions = [
        {
            **_question(query, task, False),
            "user_id": user.id,
            "profile": [write_past(item, task) for item in user.history],
        }
        for user in users
        for query in user.queries
    ]
    return {
        f"{split}{lamp.QUESTIONS}": questions,
        f"{split}{lamp.OUTPUTS}": golds_file(form.name, _golds(users)),
    }


def _question(query: Item, task: Task, gold: bool) -> dict[str, str]:
    answer = {"gold": query.answer} if gold and query.answer is not None else {}
    return {"id": query.id, "input": write_question(query, task), **answer}


def _golds(users: Sequence[User]) -> dict[str, str]:
    return {query.id: query.answer or "" for user in users for query in user.queries}


def golds_file(task: str, answers: Mapping[str, str]) -> dict[str, object]:
    """Return a file of golds, or of predictions: LaMP's format for submissions is the same.

    Args:
        task: LaMP's name of the task.
        answers: The answers by question id.

    Returns:
        A plain object.
    """
    golds = [{"id": name, "output": answer} for name, answer in answers.items()]
    return {"task": task, "golds": golds}


def check_query_ids(users: Sequence[User], where: str) -> None:
    """Refuse users whose golds could not be found by the id of their query alone.

    Args:
        users: The users.
        where: What is being written, for the message.

    Raises:
        DataError: Two queries have the same id.
    """
    seen: dict[str, str] = {}
    for user in users:
        for query in user.queries:
            if query.id in seen:
                raise DataError(
                    f"{where}: users '{seen[query.id]}' and '{user.id}' both have a query '{query.id}', and "
                    "golds are found by that id alone",
                    hint="give queries ids of their own, or write the layout users",
                )
            seen[query.id] = user.id


_WRITERS = {"users": _users, "per-pcs": _per_pcs, "lamp": _lamp}
