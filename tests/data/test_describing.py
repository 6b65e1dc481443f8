"""A data set in numbers: counts, lengths, balance, dates and repeats, and no text."""

import json
from pathlib import Path

import pytest

from prime_audit.config import DataConfig
from prime_audit.data import FORMS, TASKS, describe, read_dataset
from tests.lamp_files import questions, write_lamp, write_split


def described(path: Path, task: str) -> dict[str, object]:
    return describe(read_dataset(DataConfig(path=str(path)), TASKS[task]))


def test_figures_worked_out_by_hand(tmp_path: Path) -> None:
    entries = questions("lamp-3", ["a", "b"], items=3)
    entries[1]["profile"][0] = entries[0]["profile"][0]
    entries[0]["profile"].append({**entries[0]["profile"][1], "id": "again"})
    entries[0]["profile"][2]["text"] = ""
    for entry in entries:
        entry["input"] = "review: three short words"
    write_split(tmp_path, "dev", "lamp-3", entries)
    found = described(tmp_path, "lamp-3")
    assert found["targets"] == {
        "users": 2,
        "queries": 2,
        "items": 6,
        "items_per_user": {"min": 3, "median": 3.0, "p95": 3.0, "max": 3},
    }
    assert found["sharers"] == {"users": 0, "queries": 0, "items": 0, "items_per_user": None}
    words = found["words"]
    assert isinstance(words, dict)
    assert words["query_input"] == {"min": 3, "median": 3.0, "p95": 3.0, "max": 3}
    # a: labels 1, 2, (3 left out), 2 again; b: 1, 2, 3.
    assert found["labels"] == {
        "history": {"1": 2, "2": 3, "3": 1, "4": 0, "5": 0},
        "queries": {"1": 2, "2": 0, "3": 0, "4": 0, "5": 0},
    }
    assert found["dates"] == {"first": "1999", "last": "2009-03-04", "missing": 2, "year_only": 1}
    assert found["duplicates"] == {
        "records_of_several_users": 1,
        "users_with_such_records": 2,
        "repeated_within_a_user": 1,
    }
    assert found["notes"] == ["1 past item without text or answer left out"]


@pytest.mark.parametrize("task", list(FORMS))
def test_no_text_of_a_user_is_in_it(tmp_path: Path, task: str) -> None:
    folder = write_lamp(tmp_path, task)
    text = json.dumps(described(folder, task), ensure_ascii=False)
    assert "town" not in text
    assert "Answer of" not in text
    assert (TASKS[task].kind == "text") == (json.loads(text)["labels"]["queries"] is None)
