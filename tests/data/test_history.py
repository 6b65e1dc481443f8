import json
from pathlib import Path

import pytest

from prime_audit.data import TASKS, read_history
from prime_audit.errors import DataError
from tests.support import user, write_users

TASK = TASKS["lamp-4"]


def write(folder: Path, *records: object) -> Path:
    path = folder / "history.jsonl"
    path.write_text("\n\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return path


def test_items_a_line_get_names_from_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"input": " one ", "answer": "first"},
        {"id": "mine", "input": "two", "answer": "second", "date": 2020},
    )
    target = read_history(path, TASK)
    assert (target.id, target.role, target.queries) == ("target", "target", ())
    assert [(i.id, i.input, i.answer, i.date) for i in target.history] == [
        ("line-1", "one", "first", None),
        ("mine", "two", "second", "2020"),
    ]


def test_a_users_file_gives_its_one_target_with_or_without_queries(tmp_path: Path) -> None:
    full = user("ann", "target")
    assert len(read_history(write_users(tmp_path, user("bob"), full), TASK).queries) == 1
    bare = {key: value for key, value in full.items() if key != "queries"}
    found = read_history(write_users(tmp_path, bare, user("bob")), TASK)
    assert (found.id, len(found.history), found.queries) == ("ann", 6, ())
    assert read_history(write_users(tmp_path, {**full, "queries": []}), TASK).queries == ()


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ([user("a", "target"), user("b", "target")], r"holds 2 users of role 'target' \(a, b\)"),
        ([user("a")], "holds 0 users of role 'target'; one person"),
        ([{**user("a", "target"), "history": []}], r"users\.jsonl:1: history: empty"),
        ([{"role": "target", "history": []}], r"users\.jsonl:1: user: missing"),
    ],
)
def test_a_users_file_needs_exactly_one_target(
    users: list[dict[str, object]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_history(write_users(tmp_path, *users), TASK)


def test_every_faulty_item_is_listed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"input": "a", "answer": ""},
        ["no object"],
        {"id": "../x", "input": "a", "answer": "b"},
        {"id": "x", "input": "a", "answer": "b"},
        {"id": "x", "input": "a", "answer": "b"},
    )
    with pytest.raises(DataError) as caught:
        read_history(path, TASK)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("history.jsonl: 4 faults")
    # Records stand on every second line.
    assert [line.split("history.jsonl:")[1].partition(":")[0] for line in lines[1:]] == ["1", "3", "5", "9"]


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_an_empty_file_has_no_history(text: str, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="there is no item in it"):
        read_history(path, TASK)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_history(tmp_path / "nowhere", TASK)
