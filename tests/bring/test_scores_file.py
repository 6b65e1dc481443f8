"""Reading scores that were made elsewhere; every fault names file, line and key."""

import json
import zlib
from pathlib import Path

import pytest

from prime_audit.bring.scores_file import ScoresFile, read_scores
from prime_audit.errors import DataError

PRIVATE = "privatewords"


def write(folder: Path, *lines: str, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv_file(folder: Path, *rows: str, header: str = "id,member,score") -> Path:
    return write(folder, header, *rows)


def jsonl(folder: Path, *records: object) -> Path:
    return write(folder, *(json.dumps(record) for record in records), name="scores.jsonl")


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(DataError) as caught:
        read_scores(path)
    text = f"{caught.value} {caught.value.hint}"
    for part in parts:
        assert part in text, text
    assert PRIVATE not in text


def test_csv_and_json_lines_hold_the_same(tmp_path: Path) -> None:
    table = csv_file(tmp_path, "a,u1,true,0.5", "b,u2,0,1e-3", "c,u1,FALSE,-2", header="id,user,member,score")
    lines = jsonl(
        tmp_path,
        {"id": "a", "user": "u1", "member": True, "score": 0.5},
        {"id": "b", "user": "u2", "member": 0, "score": 0.001},
        {"id": "c", "user": "u1", "member": "false", "score": -2},
    )
    for found in (read_scores(table), read_scores(lines)):
        # The records of one user stand together.
        assert found.listed.ids == ("a", "c", "b")
        assert found.listed.users == ("u1", "u1", "u2")
        assert found.listed.member.tolist() == [True, False, False]
        assert found.score is not None
        assert found.score.tolist() == [0.5, -2.0, 0.001]
        assert found.listed.within
        assert found.target is None


def tokens(found: ScoresFile) -> tuple[list[list[float]], list[list[float]]]:
    assert found.target is not None
    assert found.reference is not None
    return tuple(  # type: ignore[return-value]
        [scores.logp[scores.record(i)].tolist() for i in range(len(scores))]
        for scores in (found.target, found.reference)
    )


def test_log_probabilities_in_each_spelling(tmp_path: Path) -> None:
    table = csv_file(
        tmp_path,
        'a,1,"[-1, -2.5]",-1 -3,"Some, text"',
        "b,0,-0.5,-1,other",
        header="id,member,logp,base_logp,text",
    )
    lines = jsonl(
        tmp_path,
        {"id": "a", "member": 1, "logp": [-1, -2.5], "base_logp": [-1, -3], "text": "Some, text"},
        {"id": "b", "member": 0, "logp": [-0.5], "base_logp": [-1], "text": "other"},
    )
    for found in (read_scores(table), read_scores(lines)):
        assert tokens(found) == ([[-1.0, -2.5], [-0.5]], [[-1.0, -3.0], [-1.0]])
        assert found.held == {"logp", "reference", "compressed_bytes"}
        assert found.target is not None
        assert found.target.compressed_bytes.tolist() == [
            len(zlib.compress(text)) for text in (b"Some, text", b"other")
        ]


def test_what_the_file_does_not_hold_is_not_held(tmp_path: Path) -> None:
    found = read_scores(
        jsonl(tmp_path, {"id": "a", "member": 1, "logp": [-1]}, {"id": "b", "member": 0, "logp": []})
    )
    assert found.held == {"logp"}
    assert found.reference is None
    assert found.listed.texts is None
    assert found.target is not None
    assert found.target.lengths.tolist() == [1, 0]


def test_a_cell_with_line_breaks_and_commas_moves_no_line_number(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'a,1,1,"two\nlines, one cell"', "b,0,none,x", header="id,member,score,text")
    refused(path, "scores.csv:4: score: expected a number")


def test_columns_that_mean_nothing_are_named(tmp_path: Path) -> None:
    found = read_scores(csv_file(tmp_path, "a,1,1,x", "b,0,0,y", header="id,member,score,Score2"))
    assert found.ignored == ("Score2",)


def test_users_with_one_kind_of_record_are_not_compared_within(tmp_path: Path) -> None:
    found = read_scores(csv_file(tmp_path, "a,u,1,1", "b,v,0,0", header="id,user,member,score"))
    assert not found.listed.within
    assert found.listed.subjects == ("all",)


def test_near_repeats_are_counted(tmp_path: Path) -> None:
    long = "the quick brown fox jumps over the lazy dog near the river bank"
    found = read_scores(
        jsonl(
            tmp_path,
            {"id": "a", "member": 1, "score": 1, "text": long},
            {"id": "b", "member": 0, "score": 0, "text": long.replace("bank", "side").upper()},
            {"id": "c", "member": 0, "score": 0, "text": "nothing of the kind was ever said here"},
        )
    )
    assert found.listed.repeats == 1


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["a,1,1", "a,1,2", "b,0,0"], [":3: id: id 'a' is used before, at", "scores.csv:2"]),
        (["a,1,1", "a,0,2"], ["id 'a' is used before", "as a member and as a non-member"]),
        (["a,1,nan", "b,0,0"], [":2: score: not a finite number"]),
        (["a,1,inf", "b,0,0"], [":2: score: not a finite number"]),
        (["a,1,", "b,0,0"], [":2: score: missing"]),
        (["a,1,high", "b,0,0"], [":2: score: expected a number"]),
        (["a,yes,1", "b,0,0"], [":2: member: expected true, false, 1 or 0"]),
        (["a,2,1", "b,0,0"], [":2: member: expected true, false, 1 or 0"]),
        (["a,1,1", "b,1,0"], ["there are no non-members"]),
        (["a,0,1", "b,0,0"], ["there are no members"]),
        ([",1,1", "b,0,0"], [":2: id: missing"]),
        (["a,1,1,9", "b,0,0"], [":2: more cells than the 3 of the header"]),
        (['a,1,"1', "b,0,0"], ["not readable as CSV", "one JSON object per line"]),
        ([], ["there is no record in it"]),
    ],
    ids=lambda value: "|".join(value)[:20],
)
def test_a_faulty_table(rows: list[str], parts: list[str], tmp_path: Path) -> None:
    refused(csv_file(tmp_path, *rows), *parts)


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("id;member;score", ["the header is one cell with semicolons", "save it with commas"]),
        ("id\tmember\tscore", ["one cell with tabs"]),
        ("id,label,score", ["no record has 'member', but: id, label, score", "trained on"]),
        ("name,label,score", ["no record has 'id' or 'member'"]),
        ("id,member,scores", ["neither 'score' nor 'logp'", "scores"]),
        ("id,member,score,score", ["names 'score' twice"]),
        ("id,member,score,logp", ["both 'score' and 'logp'"]),
        ("id,member,score,base_logp", ["'base_logp' without 'logp'"]),
    ],
)
def test_a_faulty_header(header: str, parts: list[str], tmp_path: Path) -> None:
    cells = ",".join(["-1"] * (header.count(",") - 1))
    refused(csv_file(tmp_path, f"a,1,{cells}", f"b,0,{cells}", header=header), *parts)


GOOD = {"id": "z", "member": 0, "logp": [-1.0], "base_logp": [-1.0], "text": PRIVATE}


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"logp": [-1, -2], "base_logp": [-1]}, [":1: base_logp: has 1 token, 'logp' has 2"]),
        ({"logp": [-1, "x"]}, [":1: logp: holds something that is no number"]),
        ({"logp": "x y"}, [":1: logp: expected a list"]),
        ({"logp": [2.0], "base_logp": [-1]}, [":1: logp: is above zero"]),
        ({"logp": [True]}, ["no number"]),
        ({"text": ""}, [":1: text: empty text"]),
        ({"text": None}, ["text: missing in 1 of 2 records"]),
        ({"user": "u"}, ["user: missing in 1 of 2 records"]),
        ({"user": "a b"}, [":1: user: user id 'a b' is not usable"]),
        ({"text": PRIVATE}, ["the same text is at", "leave it out of one list"]),
        ({"date": True}, [":1: date: expected text"]),
        ({"member": None}, [":1: member: missing"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_faulty_record(record: dict[str, object], parts: list[str], tmp_path: Path) -> None:
    first = {"id": "a", "member": 1, "logp": [-1.0], "base_logp": [-1.0], "text": "x y", **record}
    refused(jsonl(tmp_path, first, GOOD), *parts)


def test_faults_of_one_kind_are_one_line(tmp_path: Path) -> None:
    rows = [f"r{i},1,none" for i in range(30)] + ["x,maybe,1", "r3,0,2", *(f"r{i},0,nan" for i in (40, 41))]
    path = csv_file(tmp_path, *rows)
    with pytest.raises(DataError) as caught:
        read_scores(path)
    assert str(caught.value).splitlines() == [
        f"{path}: 33 faults",
        f"{path}:2: score: expected a number (and 29 more like it, at lines 3, 4, 5, 6, 7, ...)",
        f"{path}:32: member: expected true, false, 1 or 0",
        f"{path}:34: score: not a finite number; leave the record out, and say why beside the report",
        f"{path}:35: score: not a finite number; leave the record out, and say why beside the report",
    ]


def test_ids_that_are_used_twice_are_one_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path, *(f"r{i % 9},{i % 2},1" for i in range(18)))
    with pytest.raises(DataError) as caught:
        read_scores(path)
    (_, line) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:11: id: id 'r0' is used before, at {path}:2, as a member and")
    assert line.endswith("(and 8 more like it, at lines 12, 13, 14, 15, 16, ...)")


def test_lines_that_are_no_json(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": "a", "member": 1, "score": NaN}', "{", "[1]", name="scores.jsonl")
    refused(path, "3 faults", "line 1, column", "NaN is not allowed", "line 2", ":3", "expected an object")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.csv", "nowhere.csv: cannot be read")
