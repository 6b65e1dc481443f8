"""What a data set holds, in numbers: no text of any user is in it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Dataset, User


def describe(dataset: Dataset) -> dict[str, object]:
    """Describe a data set.

    Args:
        dataset: The users with their task.

    Returns:
        A plain object: `task`, `digest`; users, queries and items of each role; lengths in words; label
        counts of choice and number tasks; dates; records that stand in several histories; the reader's notes.
    """
    task = dataset.task
    histories = [item for user in dataset.users for item in user.history]
    queries = [query for target in dataset.targets for query in target.queries]
    return {
        "task": task.id,
        "digest": dataset.digest,
        "targets": _role(dataset.targets),
        "sharers": _role(dataset.sharers),
        "public": _role(dataset.public),
        "words": {
            "history_input": _spread(len(item.input.split()) for item in histories),
            "history_answer": _spread(len((item.answer or "").split()) for item in histories),
            "query_input": _spread(len(query.input.split()) for query in queries),
            "query_answer": _spread(len((query.answer or "").split()) for query in queries),
        },
        "labels": {"history": _labels(task.past, histories), "queries": _labels(task, queries)},
        "dates": _dates(histories),
        "duplicates": _duplicates(dataset.users),
        "profile_texts": sum(user.profile_text is not None for user in dataset.users),
        "notes": list(dataset.notes),
    }


def _role(users: Sequence[User]) -> dict[str, object]:
    return {
        "users": len(users),
        "queries": sum(len(user.queries) for user in users),
        "items": sum(len(user.history) for user in users),
        "items_per_user": _spread(len(user.history) for user in users),
    }


def _spread(counts: Iterable[int]) -> dict[str, float] | None:
    """Smallest, median, 95th percentile and largest of some counts; None of none."""
    values = np.fromiter(counts, dtype=np.int64)
    if not values.size:
        return None
    middle, high = np.percentile(values, [50, 95])
    return {
        "min": int(values.min()),
        "median": float(middle),
        "p95": float(high),
        "max": int(values.max()),
    }


def _labels(task: Task, items: Sequence[Item]) -> dict[str, int] | None:
    """How often each label is the answer; None for a text task."""
    if not task.labels:
        return None
    counts = Counter(item.answer for item in items)
    return {label: counts[label] for label in task.labels}


def _dates(items: Sequence[Item]) -> dict[str, object]:
    dates = [item.date for item in items if item.date]
    # Dates are text that begins with the year, so that they sort as they are.
    span = {"first": min(dates), "last": max(dates)} if dates else {"first": None, "last": None}
    return {**span, "missing": len(items) - len(dates), "year_only": sum("-" not in date for date in dates)}


def _duplicates(users: Sequence[User]) -> dict[str, int]:
    """Past items whose text and answer stand in several histories, or several times in one."""
    owners: dict[tuple[str, str | None], set[str]] = {}
    within = 0
    for user in users:
        own = Counter((item.input, item.answer) for item in user.history)
        within += sum(count - 1 for count in own.values())
        for record in own:
            owners.setdefault(record, set()).add(user.id)
    shared = [names for names in owners.values() if len(names) > 1]
    return {
        "records_of_several_users": len(shared),
        "users_with_such_records": len(set(chain.from_iterable(shared))),
        "repeated_within_a_user": within,
    }
