import json
from pathlib import Path

import pytest

from prime_audit.errors import IncompleteError
from prime_audit.study.journal import Journal


def entry(key: str) -> dict[str, object]:
    return {"key": key, "unit": f"train/{key}", "seconds": 0.5, "output": {"items": 3}}


def test_finished_units_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append(entry("a"))
    again = Journal(path)
    again.append(entry("b"))
    assert Journal(path).get("a") == entry("a")
    assert Journal(path).get("b") == entry("b")
    assert Journal(path).get("c") is None


def test_a_last_line_torn_at_any_byte_is_dropped_and_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(entry("a"))
    start = path.stat().st_size
    journal.append(entry("b"))
    whole = path.read_bytes()
    for cut in range(start + 1, len(whole)):
        path.write_bytes(whole[:cut])
        torn = Journal(path)
        assert torn.dropped_tail
        assert torn.get("a") == entry("a")
        assert torn.get("b") is None
        torn.append(entry("b"))
        assert path.read_bytes() == whole


def test_damage_in_the_middle_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps(entry(key)) for key in "abc"]
    lines[1] = lines[1][:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(IncompleteError, match="line 2 is damaged"):
        Journal(path)
