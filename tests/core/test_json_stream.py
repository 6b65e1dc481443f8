"""Long JSON lists: the same values and the same faults as reading the file whole, wherever a read ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from prime_audit.core import json_stream, read_json_list
from prime_audit.errors import DataError

CHUNKS = (1, 2, 3, 7, 50, 1 << 20)


@pytest.fixture(params=CHUNKS)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", request.param)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "entries",
    [
        [],
        [1],
        [12345678, -1.5e3, 0, 10],
        ['a"b\u00e9\n\\😀\u2028', ""] * 5,
        [{"x": [None, True, {"y": "z]},"}]}, []],
        [{"deep": [[[[]]]]}] * 20,
    ],
)
def test_values_are_those_of_the_whole_file(tmp_path: Path, entries: list[Any], indent: int | None) -> None:
    path = tmp_path / "x.json"
    for text in (json.dumps(entries, indent=indent), json.dumps(entries, indent=indent, ensure_ascii=False)):
        path.write_text(text, encoding="utf-8")
        assert list(read_json_list(path)) == entries
        path.write_text(f"\ufeff \n{text}\n ", encoding="utf-8")
        assert list(read_json_list(path)) == entries


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: the JSON ends too early"),
        ("[", "line 1, column 2: the JSON ends too early"),
        ("[1,", "line 1, column 4: the JSON ends too early"),
        ('[{"a": "b', "line 1, column 8: the JSON ends too early"),
        ('{"a": 1}', "line 1, column 1: expected a list"),
        ("[1 2]", "line 1, column 4: not valid JSON: expected ',' or ']'"),
        ("[1]\n x", "line 2, column 2: not valid JSON: something follows"),
        ("[1,]", "line 1, column 4: not valid JSON"),
        ('[1,\n {"a": 1,\n  "b": }]', "line 3, column 8: not valid JSON: Expecting value"),
        ('[{"a": NaN}]', "line 1, column 8: NaN is not allowed"),
        ('[1, {"a": -Infinity}]', "line 1, column 11: -Infinity is not allowed"),
        ('[{"a": "\\u12zz"}]', "line 1, column 10: not valid JSON"),
        ("[" * 100_000, "not usable JSON"),
        ("<!doctype html>", "line 1, column 1: not valid JSON"),
    ],
)
def test_faults_have_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(read_json_list(path))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_page_is_called_a_page_and_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("<html>")
    with pytest.raises(DataError) as caught:
        next(read_json_list(path))
    assert "web page" in caught.value.hint
    with pytest.raises(DataError, match="cannot be read: No such file"):
        next(read_json_list(tmp_path / "none.json"))


@pytest.mark.parametrize("chunk_size", [3, 1 << 20])
def test_bytes_that_are_no_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_size: int) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk_size)
    path = tmp_path / "x.json"
    path.write_bytes(b'[1, "\xff"]')
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_json_list(path))


def test_a_fault_in_the_middle_stops_the_reading_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" + "[1],\n" * 1000 + "[1}" + ",[2]" * 2_000_000 + "]")
    reader = read_json_list(path)
    for _ in range(1000):
        assert next(reader) == [1]
    with pytest.raises(DataError, match="line 1001, column 3: not valid JSON"):
        next(reader)
