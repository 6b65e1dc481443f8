"""Small files in LaMP's shape, one kind per task, with texts written for these tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prime_audit.data import FORMS, TASKS

# Quotes, braces, markers inside of texts, right to left, emoji, an ampersand, a line separator.
HOSTILE = (
    'He said "no", twice',
    "Braces {0} and {name} %s $x",
    "A review: of the article: and its paper:",
    "كتاب جديد عن البحر",
    "Fish 🐟 & chips 👩‍👩‍👧 <b>now</b>",
    "one\u2028two\ttabs",
    "[3]: a marker of nobody",
)


def words(user: str, number: int) -> str:
    """A text of its own for every user and number, now and then a hostile one."""
    return f"{HOSTILE[number % len(HOSTILE)]} by {user} {number} in the town of {user}{number * 7}"


def past(task: str, user: str, number: int) -> dict[str, Any]:
    """One past item; ids are text or numbers, dates have a day, only a year, or are missing."""
    form = FORMS[task]
    item: dict[str, Any] = {"id": f"{user}-{number}" if number % 2 else 1000 + number}
    item[form.input] = words(user, number)
    if form.answer != form.input:
        labels = TASKS[task].past.labels
        item[form.answer] = labels[number % len(labels)] if labels else f"About {user} {number} and more"
    if number % 3:
        item["date"] = "2009-03-04" if number % 3 == 1 else 1999
    return item


def question(task: str, user: str, number: int) -> dict[str, Any]:
    """One question with its gold under `output`."""
    asked = {
        "lamp-1": f'Who? "Title "A" of {user}" [1] or [2]? [1]: "First "x" of {number}" [2]: "Second {user}"',
        "lamp-6": f"Write a subject: {words(user, number)}",
        "lamp-7": f"Say it otherwise: {words(user, number)}",
    }
    marker = TASKS[task].query_marker
    labels = TASKS[task].labels
    return {
        "id": f"{user}-q{number}",
        "input": asked.get(task, f"Do this. {marker} {words(user, number)}"),
        "output": labels[number % len(labels)] if labels else f"Answer of {user} {number}",
    }


def questions(task: str, users: Sequence[str], items: int = 6, each: int = 1) -> list[dict[str, Any]]:
    """The questions of some users, with golds and profiles."""
    return [
        {
            **question(task, user, number),
            "user_id": user,
            "profile": [past(task, user, i) for i in range(items)],
        }
        for user in users
        for number in range(each)
    ]


def write_split(folder: Path, split: str, task: str, entries: Sequence[dict[str, Any]]) -> Path:
    """Write a split's two files; returns the file of questions."""
    folder.mkdir(parents=True, exist_ok=True)
    golds = [{"id": entry["id"], "output": entry["output"]} for entry in entries if "output" in entry]
    asked = [{key: value for key, value in entry.items() if key != "output"} for entry in entries]
    path = folder / f"{split}_questions.json"
    path.write_text(json.dumps(asked, ensure_ascii=False), encoding="utf-8")
    outputs = {"task": FORMS[task].name, "golds": golds}
    (folder / f"{split}_outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
    return path


def write_lamp(folder: Path, task: str, targets: int = 2, sharers: int = 3, items: int = 6) -> Path:
    """Write a folder in LaMP's layout with both splits."""
    write_split(folder, "dev", task, questions(task, [f"t{i}" for i in range(targets)], items, 2))
    if sharers:
        write_split(folder, "train", task, questions(task, [f"s{i}" for i in range(sharers)], items))
    return folder


def write_per_pcs(folder: Path, task: str, targets: int = 2, sharers: int = 3, items: int = 6) -> Path:
    """Write the same users in the layout of Per-Pcs, with one public user."""
    (folder / "test_100").mkdir(parents=True)

    def users(names: Sequence[str], each: int, gold: bool) -> list[dict[str, Any]]:
        return [
            {
                "user_id": name,
                "profile": [past(task, name, i) for i in range(items)],
                "query": [_query(question(task, name, i), gold) for i in range(each)],
            }
            for name in names
        ]

    names = [f"t{i}" for i in range(targets)]
    golds = [{k: question(task, name, i)[k] for k in ("id", "output")} for name in names for i in range(2)]
    for name, content in (
        ("user_base_LLM", users(["p0"], 1, True)),
        ("user_anchor_candidate", users([f"s{i}" for i in range(sharers)], 1, True)),
        ("test_100/user_test_100", users(names, 2, False)),
        ("test_100/user_test_100_label", {"task": FORMS[task].per_pcs, "golds": golds}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _query(entry: dict[str, Any], gold: bool) -> dict[str, Any]:
    return {"id": entry["id"], "input": entry["input"], **({"gold": entry["output"]} if gold else {})}
