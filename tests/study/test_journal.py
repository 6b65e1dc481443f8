from pathlib import Path

import pytest

from prime_audit.errors import IncompleteError, NoSpaceError
from prime_audit.study.journal import Journal
from tests.support import file_size_limit


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


def test_a_flipped_byte_anywhere_in_a_whole_line_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for key in "abc":
        journal.append(entry(key))
    whole = path.read_bytes()
    length = len(whole) // 3
    for place in range(length, 2 * length):
        for flip in (0x01, 0x20, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            with pytest.raises(IncompleteError, match=rf"line 2 \(byte {length}\) is damaged"):
                Journal(path)


def test_a_line_that_is_lost_from_the_middle_is_only_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for key in "abc":
        journal.append(entry(key))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    again = Journal(path)
    assert again.get("b") is None
    assert again.get("c") == entry("c")


def test_another_runs_journal_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append(entry("a"))
    torn = path.read_bytes() + b'{"key":'
    path.write_bytes(torn)
    assert Journal(path, read_only=True).get("a") == entry("a")
    assert path.read_bytes() == torn


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(entry("a"))
    before = path.read_bytes()
    with file_size_limit(len(before) + 10), pytest.raises(NoSpaceError, match=r"\d+ bytes needed, \d+ bytes"):
        journal.append(entry("b"))
    assert path.read_bytes() == before
    assert Journal(path).get("b") is None
    journal.append(entry("b"))
    assert Journal(path).get("b") == entry("b")
