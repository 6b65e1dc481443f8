"""The Per-Pcs layout: what is read from where, and every fault with its place."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from prime_audit.config import DataConfig
from prime_audit.data import TASKS, Dataset, Item, Task, read_dataset
from prime_audit.data.records import Faults
from prime_audit.errors import DataError

RATING = TASKS["lamp-3"]


def load(folder: Path, task: Task = RATING, **keys: object) -> Dataset:
    return read_dataset(DataConfig.model_validate({"path": str(folder), **keys}), task)


def faults(folder: Path, task: Task = RATING) -> list[str]:
    with pytest.raises(DataError) as caught:
        load(folder, task)
    head, *lines = str(caught.value).replace(f"{folder}/", "").splitlines()
    assert head == f"{folder}: {len(lines)} fault{'s' if len(lines) > 1 else ''}"
    return lines


def test_roles_items_queries_and_golds(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    data = load(per_pcs.write(tmp_path / "d"))
    assert [(user.id, user.role) for user in data.users] == [
        ("p1", "public"),
        ("21", "sharer"),
        ("22", "sharer"),
        ("31", "target"),
    ]
    target = data.user("31")
    assert target.history[1] == Item("31001", "31 item1 says words1", "2", "2001-02-03")
    assert target.queries == (Item("q1", "a review: twice marked", "4"), Item("q2", "fine", "5"))
    assert target.profile_text == "Gives four stars."
    assert data.user("21").queries == ()
    assert [len(group) for group in (data.public, data.sharers, data.targets)] == [1, 2, 1]


def test_headlines_and_movies_use_their_own_keys(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    for task, keys, answer, marker in (
        ("lamp-4", ("text", "title"), "A title", "article:"),
        ("lamp-2", ("description", "tag"), "dark comedy", "] description:"),
    ):
        for user in (*per_pcs.base, *per_pcs.sharers, *per_pcs.targets):
            user["profile"] = [{"id": 5, keys[0]: "A plot {with} braces", keys[1]: answer}]
        for query in per_pcs.targets[0]["query"]:
            query["input"] = f"Do it [a, b{marker} new"
        per_pcs.golds = {"golds": [{"id": name, "output": answer} for name in ("q1", "q2")]}
        data = load(per_pcs.write(tmp_path / task), TASKS[task])
        assert data.users[0].history == (Item("5", "A plot {with} braces", answer),)
        assert data.targets[0].queries[0] == Item("q1", "new", answer)


def test_caps_take_the_first_and_refuse_more_than_there_are(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    folder = per_pcs.write(tmp_path / "d")
    assert [user.id for user in load(folder, sharers=1).users] == ["p1", "21", "31"]
    with pytest.raises(DataError, match=r"data\.sharers asks for 3 sharers, but there are 2"):
        load(folder, sharers=3)
    with pytest.raises(DataError, match=r"data\.targets asks for 2 targets, but there are 1"):
        load(folder, targets=2)


def test_long_inputs_are_cut_to_words(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    per_pcs.targets[0]["profile"][0]["text"] = "one  two"
    data = load(per_pcs.write(tmp_path / "d"), max_input_words=2)
    target = data.targets[0]
    assert [target.history[0].input, target.history[1].input] == ["one  two", "31 item1"]
    assert target.queries[0].input == "a review:"


def test_every_broken_record_is_reported(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    per_pcs.base[0]["profile"] = []
    profile = per_pcs.sharers[0]["profile"]
    profile[0]["score"] = "6"
    profile[1]["text"] = 7
    profile[2] = "text"
    del profile[3]["score"]
    per_pcs.sharers[1] = {"user_id": "21", "profile": [*per_pcs.sharers[1]["profile"], {"id": "22000"}]}
    query = per_pcs.targets[0]["query"]
    query[0]["id"] = "31000"
    query[1] = {"id": ["q2"], "input": "no marker here"}
    per_pcs.golds["golds"][1]["output"] = True
    anchor, test = "user_anchor_candidate.json", "test_100/user_test_100.json"
    label = "test_100/user_test_100_label.json"
    assert faults(per_pcs.write(tmp_path / "d")) == [
        "user_base_LLM.json[0].profile: empty: a user needs a history",
        f"{anchor}[0].profile[0].score: not one of the 5 labels of lamp-3",
        f"{anchor}[0].profile[1].text: expected text, found a number",
        f"{anchor}[0].profile[2]: expected an object, found text",
        f"{anchor}[0].profile[3].score: missing",
        f"{anchor}[1].profile[4].text: missing",
        f"{anchor}[1].profile[4].score: missing",
        f"{label}.golds[1].output: expected text, found true or false",
        f"{test}[0].query[1].id: expected text or a whole number, found a list",
        f"{test}[0].query[1].input: the marker 'review:' is missing",
        f"{test}[0].query[0]: query '31000' has no gold in {label}",
        f"{test}[0].query[0]: item id '31000' is used before, at {test}[0].profile[0]",
        f"{anchor}[1]: user id '21' is used before, at {anchor}[0]",
    ]


def test_a_person_cannot_be_sharer_and_target(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    per_pcs.targets[0]["user_id"] = 22
    assert faults(per_pcs.write(tmp_path / "d")) == [
        "test_100/user_test_100.json[0]: user id '22' is used before, at user_anchor_candidate.json[1]"
    ]


def test_queries_without_gold_and_golds_that_differ(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    query = per_pcs.targets[0]["query"]
    query[0]["gold"] = "1"
    query.append({"id": "q3", "input": "review: x", "gold": "2"})
    query.append({"id": "q4", "input": "review:  "})
    per_pcs.golds["golds"] = [{"id": "q1", "output": "4"}, {"id": "q1", "output": "4"}]
    label = "test_100/user_test_100_label.json"
    assert faults(per_pcs.write(tmp_path / "d")) == [
        f"{label}.golds[1]: query id 'q1' is used before, at {label}.golds[0]",
        "test_100/user_test_100.json[0].query[3].input: empty text after the marker 'review:'",
        f"test_100/user_test_100.json[0].query[0]: query 'q1' has another gold in {label}",
        f"test_100/user_test_100.json[0].query[1]: query 'q2' has no gold in {label}",
    ]


def test_files_cut_off_missing_or_of_another_shape(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    per_pcs.base = {"user_id": "1"}
    per_pcs.golds["task"] = "LaMP_4"
    folder = per_pcs.write(tmp_path / "d")
    anchor = folder / "user_anchor_candidate.json"
    anchor.write_text(anchor.read_text()[:400])
    (folder / "profile-id2text.json").write_text("<html></html>")
    lines = faults(folder)
    assert "profile-id2text.json: line 1, column 1: not valid JSON" in lines[0]
    assert "web page" in lines[0]
    assert lines[1] == "user_base_LLM.json: expected a list of users"
    assert lines[2].startswith("user_anchor_candidate.json: line ")
    assert "column" in lines[2]
    assert lines[3] == "test_100/user_test_100_label.json.task: these golds are not of task lamp-3"
    anchor.unlink()
    assert any(
        line.startswith("user_anchor_candidate.json: cannot be read: No such file") for line in faults(folder)
    )


def test_faults_of_one_kind_are_one_line_and_all_are_counted(
    tmp_path: Path, per_pcs: SimpleNamespace
) -> None:
    for item in (profile := per_pcs.base[0]["profile"] * 25):
        item["score"] = "9"
    per_pcs.base[0]["profile"] = [dict(item) for item in profile]
    with pytest.raises(DataError) as caught:
        load(per_pcs.write(tmp_path / "d"))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(": 75 faults")
    (line,) = lines[1:]
    assert line.endswith(".profile[0].score: not one of the 5 labels of lamp-3 (and 74 more like it)")


def test_only_the_first_fifty_lines_are_printed() -> None:
    found = Faults([f"a.jsonl:{number}: {'x' * number}: missing" for number in range(1, 61)])
    with pytest.raises(DataError) as caught:
        found.raise_any("a.jsonl")
    lines = str(caught.value).splitlines()
    assert lines[0] == "a.jsonl: 60 faults"
    assert len(lines) == 52
    assert lines[-1] == "... and 10 more"


def test_no_text_of_a_user_is_in_an_error(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    private = "my own words"
    per_pcs.sharers[0]["profile"][0].update(text=private, score=private, date=[private])
    per_pcs.targets[0]["query"][0]["input"] = private
    per_pcs.golds["golds"][0]["output"] = private
    assert private not in "".join(faults(per_pcs.write(tmp_path / "d")))


def test_layout_and_task_must_fit(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    folder = per_pcs.write(tmp_path / "d")
    own = Task("mine", "Mine", "text", "Do.", "In", "Out", (), "rouge_l", 8)
    with pytest.raises(DataError, match="the per-pcs layout does not hold task mine"):
        load(folder, own)
    with pytest.raises(DataError, match=r"neither users\.jsonl nor") as caught:
        load(tmp_path)
    assert caught.value.hint == "did you mean a folder in it: d?"
    (folder / "users.jsonl").write_text("")
    with pytest.raises(DataError, match="holds both"):
        load(folder)
    assert len(load(folder, layout="per-pcs").users) == 4
    with pytest.raises(DataError, match="no such file or folder"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match="names no data"):
        read_dataset(DataConfig(), RATING)


def test_the_digest_sees_every_word_and_the_task(tmp_path: Path, per_pcs: SimpleNamespace) -> None:
    first = load(per_pcs.write(tmp_path / "a"))
    assert load(tmp_path / "a").digest == first.digest
    per_pcs.base[0]["profile"][2]["text"] += "!"
    assert load(per_pcs.write(tmp_path / "b")).digest != first.digest
    assert load(tmp_path / "a", sharers=1).digest != first.digest
    assert len(first.digest) == 64
