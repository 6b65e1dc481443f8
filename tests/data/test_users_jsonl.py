"""users.jsonl: faultless users, and every fault with its line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prime_audit.config import DataConfig
from prime_audit.data import TASKS, Dataset, Item, read_dataset
from prime_audit.errors import DataError

People = list[dict[str, Any]]
Write = Callable[[People], Path]


def load(path: Path, task: str = "lamp-4") -> Dataset:
    return read_dataset(DataConfig(path=str(path)), TASKS[task])


def faults(path: Path, task: str = "lamp-4") -> list[str]:
    with pytest.raises(DataError) as caught:
        load(path, task)
    head, *lines = str(caught.value).replace(str(path), "users.jsonl").splitlines()
    assert f"{len(lines)} fault" in head
    return lines


def test_a_file_and_its_folder_read_alike(people: People, write_people: Write) -> None:
    path = write_people(people)
    data = load(path)
    assert load(path.parent) == data
    assert [(user.id, user.role, len(user.history), len(user.queries)) for user in data.users] == [
        ("p1", "public", 2, 0),
        ("s1", "sharer", 3, 1),
        ("7", "target", 3, 2),
    ]
    assert data.user("s1").queries[0] == Item("z", "open", None)
    assert data.user("7").profile_text == "Short."
    assert data.user("7").queries[1].answer == "q title 1"


def test_line_separators_in_a_text_do_not_split_a_line(people: People, tmp_path: Path) -> None:
    people[0]["history"][0]["input"] = "one\u2028two\x85three"
    path = tmp_path / "mine.jsonl"
    text = "\r\n\r\n".join(json.dumps(line, ensure_ascii=False) for line in people)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(path).users[0].history[0].input == "one\u2028two\x85three"


def test_every_fault_has_its_line(people: People, write_people: Write) -> None:
    people[0].update(role="stranger", user="p/1")
    people[0]["history"][1]["input"] = 3
    people[1].update(history=[], profile_text="")
    target = people[2]
    del target["queries"][0]["answer"]
    target["queries"][1]["id"] = "t0"
    target["history"][2]["answer"] = "\ud800"
    people += [
        {"user": "s1", "role": "target"},
        {"user": "t2", "role": "target", "history": target["history"][:1]},
    ]
    people[4]["queries"] = []
    path = write_people(people)
    path.write_text(path.read_text() + '[]\n{"user": "x", "hist')
    assert faults(path) == [
        "users.jsonl:1: user: user id 'p/1' is not usable; use 1 to 64 letters, digits, '.', '_' or '-', "
        "beginning with a letter or a digit",
        "users.jsonl:1: role: expected one of target, sharer, public",
        "users.jsonl:1: history[1].input: expected text, found a number",
        "users.jsonl:2: history: empty: a user needs a history",
        "users.jsonl:2: profile_text: empty text",
        "users.jsonl:3: history[2].answer: broken Unicode (half of a surrogate pair)",
        "users.jsonl:3: queries[0].answer: missing",
        "users.jsonl:3: queries[1]: item id 't0' is used before, at users.jsonl:3: history[0]",
        "users.jsonl:4: history: missing",
        "users.jsonl:4: queries: missing",
        "users.jsonl:5: queries: empty: a target needs queries",
        "users.jsonl:6: expected an object, found a list",
        "users.jsonl: line 7, column 15: the JSON ends too early",
        "users.jsonl:4: user id 's1' is used before, at users.jsonl:2",
    ]


def test_labels_are_exact_and_whole_numbers_are_digits(people: People, write_people: Write) -> None:
    for person in people:
        for item in (*person["history"], *person.get("queries", [])):
            item["answer"] = 4
    people[1]["history"][0]["answer"] = 2.0
    assert load(write_people(people), "lamp-3").user("s1").history[0].answer == "2"
    people[0]["history"][0]["answer"] = 2.5
    people[0]["history"][1]["answer"] = "4 stars"
    people[1]["queries"][0]["answer"] = 0
    people[2]["history"][0]["answer"] = False
    assert faults(write_people(people), "lamp-3") == [
        "users.jsonl:1: history[0].answer: not one of the 5 labels of lamp-3",
        "users.jsonl:1: history[1].answer: not one of the 5 labels of lamp-3",
        "users.jsonl:2: queries[0].answer: not one of the 5 labels of lamp-3",
        "users.jsonl:3: history[0].answer: expected text, found true or false",
    ]


def test_an_empty_file_holds_no_user(tmp_path: Path) -> None:
    (tmp_path / "users.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="there is no user in it"):
        load(tmp_path)
