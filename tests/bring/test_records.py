"""Reading the two lists of records; every fault names file, line and key, and nothing anybody wrote."""

import json
from pathlib import Path

import pytest

from prime_audit.bring.listed import listed
from prime_audit.bring.records import read_lists
from prime_audit.errors import DataError

PRIVATE = "privatewords"
Record = dict[str, object]


def lists(
    folder: Path, members: list[Record], others: list[Record], public: list[Record] | None = None
) -> tuple[Path, Path, Path | None]:
    paths = []
    for name, records in (("a", members), ("b", others), ("p", public or [])):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        paths.append(path)
    return paths[0], paths[1], None if public is None else paths[2]


def refused(found: tuple[Path, Path, Path | None], *parts: str) -> None:
    with pytest.raises(DataError) as caught:
        read_lists(*found)
    for part in parts:
        assert part in str(caught.value), caught.value
    assert PRIVATE not in str(caught.value)


def test_text_keeps_its_white_space_and_users_stand_together(tmp_path: Path) -> None:
    read = read_lists(
        *lists(
            tmp_path,
            [
                {"id": 1, "user": "u", "prompt": "ask: ", "text": " x\n"},
                {"id": "m/2", "user": "v", "text": "y"},
            ],
            [{"id": "n", "user": "u", "prompt": "", "text": "z"}],
            [{"id": "p", "text": "w"}],
        )
    )
    assert [(e.id, e.user, e.member, e.prompt, e.text) for e in read.entries] == [
        ("1", "u", True, "ask: ", " x\n"),
        ("n", "u", False, "", "z"),
        ("m/2", "v", True, "", "y"),
    ]
    assert [entry.id for entry in read.public] == ["p"]
    found = listed(read.entries)
    assert found.texts == ("ask:  x\n", "z", "y")
    assert found.within


M: Record = {"id": "m", "text": f"{PRIVATE} one"}
N: Record = {"id": "n", "text": f"{PRIVATE} two"}


@pytest.mark.parametrize(
    ("members", "others", "parts"),
    [
        ([M], [{**N, "id": "m"}], ["b.jsonl:1: id: id 'm' is used before, at", "as a member and as a non-m"]),
        ([M, M], [N], ["a.jsonl:2: id: id 'm' is used before"]),
        ([M], [{**M, "id": "n"}], ["b.jsonl:1: text: the same text is at", "a.jsonl:1"]),
        ([], [N], ["there are no members"]),
        ([M], [], ["there are no non-members"]),
        ([{"id": "m"}], [N], ["a.jsonl:1: text: missing"]),
        ([{"text": PRIVATE}], [N], ["a.jsonl:1: id: missing"]),
        ([{**M, "text": "  "}], [N], ["a.jsonl:1: text: empty text"]),
        ([{**M, "prompt": 3}], [N], ["a.jsonl:1: prompt: expected text"]),
        ([{**M, "user": "u"}], [N], ["b.jsonl:1: user: missing in 1 of 2 records"]),
    ],
    ids=[
        *("same id", "id twice", "same text", "no members", "no others", "no text", "no id"),
        *("blank", "prompt", "half of the users"),
    ],
)
def test_faulty_lists(members: list[Record], others: list[Record], parts: list[str], tmp_path: Path) -> None:
    refused(lists(tmp_path, members, others), *parts)


def test_the_same_answer_to_another_prompt_is_another_record(tmp_path: Path) -> None:
    members: list[Record] = [{"id": "m", "prompt": "first", "text": "5"}]
    others: list[Record] = [{"id": "n", "prompt": "second", "text": "5"}]
    assert len(read_lists(*lists(tmp_path, members, others)).entries) == 2


def test_public_records_are_in_neither_list(tmp_path: Path) -> None:
    refused(
        lists(tmp_path, [M], [N], [{**N, "id": "p"}]), "p.jsonl:1: text: the same text is at", "b.jsonl:1"
    )
    refused(lists(tmp_path, [M], [N], []), "p.jsonl: there is no record in it")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    found = lists(tmp_path, [M], [N])
    refused((tmp_path / "nowhere.jsonl", found[1], None), "nowhere.jsonl: cannot be read")
