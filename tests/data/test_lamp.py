"""LaMP's own layout: who is read from where, and every fault with its place."""

import json
from pathlib import Path

import pytest

from prime_audit.config import DataConfig
from prime_audit.data import FORMS, TASKS, Dataset, check_dataset, detect_layout, detect_task, read_dataset
from prime_audit.errors import ConfigError, DataError
from tests.lamp_files import question, questions, write_lamp, write_per_pcs, write_split
from tests.support import user, write_users

RATING = TASKS["lamp-3"]


def load(path: Path, task: str = "lamp-3", **keys: object) -> Dataset:
    return read_dataset(DataConfig.model_validate({"path": str(path), **keys}), TASKS[task])


def faults(path: Path, task: str = "lamp-3") -> list[str]:
    """The faults; checking and reading find the same."""
    with pytest.raises(DataError) as caught:
        load(path, task)
    with pytest.raises(DataError) as checked:
        check_dataset(DataConfig(path=str(path)), TASKS[task])
    assert str(checked.value) == str(caught.value)
    return str(caught.value).replace(f"{path}/", "").splitlines()[1:]


@pytest.mark.parametrize("task", list(FORMS))
def test_both_layouts_give_the_same_people(tmp_path: Path, task: str) -> None:
    lamp = load(write_lamp(tmp_path / "lamp", task), task)
    other = load(write_per_pcs(tmp_path / "per-pcs", task), task)
    assert lamp.targets == other.targets
    assert [(u.id, u.history) for u in lamp.sharers] == [(u.id, u.history) for u in other.sharers]
    assert [len(u.queries) for u in lamp.targets] == [2, 2]
    assert detect_task(tmp_path / "lamp") == detect_task(tmp_path / "per-pcs") == task
    assert (detect_layout(tmp_path / "lamp"), detect_layout(tmp_path / "per-pcs")) == ("lamp", "per-pcs")
    # Those of public users adapt the base where nothing else shows it what is asked.
    assert len(other.public[0].queries) == (1 if TASKS[task].of_history else 0)


def test_targets_come_from_dev_and_sharers_from_train(tmp_path: Path) -> None:
    data = load(write_lamp(tmp_path, "lamp-3"))
    assert [(u.id, u.role, len(u.history)) for u in data.users] == [
        *[(f"s{i}", "sharer", 6) for i in range(3)],
        *[(f"t{i}", "target", 6) for i in range(2)],
    ]
    assert [u.id for u in load(tmp_path, sharers=1, public=1).users] == ["s1", "s0", "t0", "t1"]
    assert load(tmp_path, sharers=1, public=1).users[0].role == "public"
    elsewhere = write_lamp(tmp_path / "more", "lamp-3", targets=1, sharers=2)
    both = load(tmp_path / "dev_questions.json", sharers=1, public=1, sharers_from=str(elsewhere))
    assert [u.role for u in both.users] == ["public", "sharer", "target", "target"]
    with pytest.raises(DataError, match=r"data\.public asks for 3 public users"):
        load(tmp_path, sharers=1, public=3)
    assert [u.id for u in load(tmp_path, sharers=2, targets=1).users] == ["s0", "s1", "t0"]
    alone = load(tmp_path / "train_questions.json")
    assert ([u.id for u in alone.targets], alone.sharers) == (["s0", "s1", "s2"], ())


def test_without_a_train_split_there_is_no_sharer(tmp_path: Path) -> None:
    data = load(write_lamp(tmp_path, "lamp-3", sharers=0))
    assert (len(data.targets), data.sharers, data.public) == (2, (), ())
    with pytest.raises(DataError, match=r"there is no train_questions\.json") as caught:
        load(tmp_path, sharers=2)
    assert "--sharers" in caught.value.hint


def test_sharers_may_come_from_anywhere(tmp_path: Path) -> None:
    lamp = write_lamp(tmp_path / "lamp", "lamp-4", sharers=0)
    other = write_per_pcs(tmp_path / "per-pcs", "lamp-4")
    people = write_users(tmp_path, user("u1"), user("u2", "public"), user("u3", "target"))
    elsewhere = write_split(tmp_path / "x", "others", "lamp-4", questions("lamp-4", ["v1", "v2"]))
    trained = write_lamp(tmp_path / "other", "lamp-4", targets=1, sharers=2)
    for source, expected in (
        (other, ["p0", "s0", "s1", "s2"]),
        (people, ["u2", "u1"]),
        (elsewhere, ["v1", "v2"]),
        (trained, ["s0", "s1"]),
    ):
        data = load(lamp, "lamp-4", sharers_from=str(source))
        assert [u.id for u in data.users if u.role != "target"] == expected
    with pytest.raises(DataError, match="no such file or folder"):
        load(lamp, "lamp-4", sharers_from=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="the per-pcs layout holds its sharers"):
        load(other, "lamp-4", sharers_from=str(people))
    with pytest.raises(ConfigError, match=r"data\.sharers does not say"):
        load(trained, "lamp-4", public=1)


def test_nobody_shares_a_module_with_themselves(tmp_path: Path) -> None:
    folder = write_lamp(tmp_path, "lamp-3")
    write_split(folder, "train", "lamp-3", questions("lamp-3", ["t0", "s1"]))
    data = load(folder)
    assert [u.id for u in data.sharers] == ["s1"]
    assert data.notes == ("1 candidate sharer left out: targets as well",)
    said = r"asks for 2 sharers, but there are 1 \(1 candidate sharer left out: targets as well\)"
    with pytest.raises(DataError, match=said):
        load(folder, sharers=2)


def test_a_history_is_what_all_profiles_of_a_person_share(tmp_path: Path) -> None:
    entries = questions("lamp-3", ["t0"], each=3)
    # A later profile holds what an earlier question asks for.
    entries[1]["profile"].append({"id": "late", "text": entries[0]["input"], "score": "1"})
    del entries[2]["profile"][0]
    entries[2]["profile"][1]["score"] = "5" if entries[2]["profile"][1]["score"] != "5" else "4"
    write_split(tmp_path, "dev", "lamp-3", entries)
    (target,) = load(tmp_path).targets
    assert [item.id for item in target.history] == ["t0-1", "t0-3", "1004", "t0-5"]
    assert [query.id for query in target.queries] == ["t0-q0", "t0-q1", "t0-q2"]
    entries[1]["profile"] = questions("lamp-3", ["zz"])[0]["profile"]
    write_split(tmp_path, "dev", "lamp-3", entries)
    assert faults(tmp_path) == ["dev_questions.json: user 't0': no item stands in all profiles of this user"]


def test_people_without_an_id_are_told_apart_by_their_profiles(tmp_path: Path) -> None:
    entries = questions("lamp-3", ["t0", "t1"], each=2)
    for entry in entries:
        del entry["user_id"]
    write_split(tmp_path, "dev", "lamp-3", entries)
    write_split(tmp_path, "train", "lamp-3", [{**entries[0], "id": "z"}, *questions("lamp-3", ["s0"])])
    data = load(tmp_path)
    assert [len(target.queries) for target in data.targets] == [2, 2]
    assert all(target.id.startswith("user-") and len(target.id) == 17 for target in data.targets)
    assert [u.id for u in data.sharers] == ["s0"]
    assert "targets as well" in data.notes[0]


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    entries = questions("lamp-3", ["7", "8"])
    entries[0].update(user_id=7, id=10)
    write_split(tmp_path, "dev", "lamp-3", entries)
    assert [(u.id, u.queries[0].id) for u in load(tmp_path).targets] == [("7", "10"), ("8", "8-q0")]


def test_empty_past_items_are_left_out_and_told(tmp_path: Path) -> None:
    entries = questions("lamp-3", ["t0", "t1"])
    entries[0]["profile"][2]["text"] = " "
    entries[1]["profile"][0]["score"] = ""
    write_split(tmp_path, "dev", "lamp-3", entries)
    data = load(tmp_path)
    assert [len(u.history) for u in data.targets] == [5, 5]
    assert data.notes == ("2 past items without text or answer left out",)
    entries[0]["profile"] = [{"id": 1, "text": "", "score": "1"}]
    write_split(tmp_path, "dev", "lamp-3", entries)
    assert faults(tmp_path) == ["dev_questions.json[0].profile: no item of it holds a text and an answer"]


def test_every_broken_question_is_reported(tmp_path: Path) -> None:
    entries = questions("lamp-3", [f"t{i}" for i in range(8)])
    entries[0]["profile"] = []
    entries[1]["profile"][3]["score"] = "6"
    entries[1]["input"] = "no marker"
    del entries[2]["profile"]
    entries[3]["user_id"] = "../up"
    entries[4]["id"] = entries[0]["id"]
    entries[5]["input"] = "Do it. review:  "
    entries[6]["profile"][1]["id"] = entries[6]["profile"][0]["id"]
    entries[7]["output"] = "nine"
    path = write_split(tmp_path, "dev", "lamp-3", entries)
    content = json.loads(path.read_text())
    golds = json.loads((tmp_path / "dev_outputs.json").read_text())
    content.append("text")
    golds["golds"] += [{"id": "lone", "output": 3}, {"id": "t1-q0", "output": "1"}]
    path.write_text(json.dumps(content))
    (tmp_path / "dev_outputs.json").write_text(json.dumps(golds))
    asked, outputs = "dev_questions.json", "dev_outputs.json"
    assert faults(tmp_path) == [
        f"{outputs}.golds[7].output: not one of the 5 labels of lamp-3",
        f"{outputs}.golds[4]: query id 't0-q0' is used before, at {outputs}.golds[0]",
        f"{outputs}.golds[9]: query id 't1-q0' is used before, at {outputs}.golds[1]",
        f"{asked}[0].profile: empty: a user needs a history",
        f"{asked}[1].input: the marker 'review:' is missing",
        f"{asked}[1].profile[3].score: not one of the 5 labels of lamp-3",
        f"{asked}[2].profile: missing",
        f"{asked}[3].user_id: user id '../up' is not usable; use 1 to 64 letters, digits, '.', '_' or '-', "
        "beginning with a letter or a digit",
        f"{asked}[4]: query id 't0-q0' is used before, at {asked}[0]",
        f"{asked}[5].input: empty text after the marker 'review:'",
        f"{asked}[6].profile[1]: item id '1000' is used before, at {asked}[6].profile[0]",
        f"{asked}[7]: query 't7-q0' has no gold in {outputs}",
        f"{asked}[8]: expected an object, found text",
        f"{outputs}: gold 'lone' has no question in {asked}",
    ]


def test_a_fault_hides_no_other(tmp_path: Path) -> None:
    """What stands in a question without a usable id, without a gold, or beside a useless file of golds."""
    entries = questions("lamp-3", [f"t{i}" for i in range(3)])
    entries[0]["id"] = None
    entries[1]["id"] = entries[2]["id"]
    for entry in entries:
        entry["profile"][1]["score"] = "9"
        entry["profile"][2]["date"] = "last May"
    del entries[2]["output"]
    path = write_split(tmp_path, "dev", "lamp-3", entries)
    found = "\n".join(faults(tmp_path))
    for number in range(3):
        assert f"[{number}].profile[1].score: not one of the 5 labels" in found
        assert f"[{number}].profile[2].date: expected a date" in found
    assert found.count("dev_questions.json[0].id: missing") == 1
    path.with_name("dev_outputs.json").write_text('{"task": "LaMP_4", "golds": []}')
    found = "\n".join(faults(tmp_path))
    assert "these golds are not of task lamp-3" in found
    assert "[2].profile[1].score" in found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dev_questions.json", "<html>", "line 1, column 1: not valid JSON"),
        ("dev_questions.json", '{"golds": []}', "expected a list"),
        ("dev_questions.json", '[{"id": ', "the JSON ends too early"),
        ("dev_outputs.json", "<html>", "line 1, column 1: not valid JSON"),
        ("dev_outputs.json", "[]", "expected an object, found a list"),
        ("dev_outputs.json", '{"task": "LaMP_4", "golds": []}', "these golds are not of task lamp-3"),
        ("dev_outputs.json", '{"task": "LaMP_3"}', "golds: missing"),
        ("dev_outputs.json", '{"task": "LaMP_3", "golds": []}', "has no gold in dev_outputs.json"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = write_lamp(tmp_path, "lamp-3")
    (folder / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load(folder)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_unknown_tasks(tmp_path: Path) -> None:
    folder = write_lamp(tmp_path / "d", "lamp-3")
    (folder / "dev_outputs.json").unlink()
    with pytest.raises(DataError, match=r"dev_outputs\.json: cannot be read"):
        load(folder)
    own = TASKS["lamp-3"].__class__("mine", "Mine", "text", "Do.", "In", "Out", (), "rouge_l", 8)
    with pytest.raises(DataError, match="the lamp layout does not hold task mine"):
        read_dataset(DataConfig(path=str(folder)), own)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.hint == "did you mean a folder in it: d?"
    with pytest.raises(DataError, match="does not say of which task"):
        detect_task(write_users(tmp_path, user("a")))


def test_no_text_of_a_user_is_in_an_error(tmp_path: Path) -> None:
    private = "my own words"
    entries = questions("lamp-1", ["t0", "t1"])
    entries[0]["input"] = private
    entries[1]["output"] = private
    entries[1]["profile"][0] = {"id": 1, "title": [private], "abstract": private, "date": [private]}
    write_split(tmp_path, "dev", "lamp-1", entries)
    assert private not in "".join(faults(tmp_path, "lamp-1"))


def test_the_two_editions_of_the_second_task_are_told_apart_by_their_items(tmp_path: Path) -> None:
    for task in ("lamp-2", "lamp-2n"):
        folder = write_lamp(tmp_path / task, task)
        assert json.loads((folder / "dev_outputs.json").read_text())["task"] == "LaMP_2"
        assert detect_task(folder) == task
    assert question("lamp-2n", "a", 0)["output"] == "food & drink"


def test_checking_counts_what_reading_finds(tmp_path: Path) -> None:
    folder = write_lamp(tmp_path, "lamp-3")
    counts = check_dataset(DataConfig(path=str(folder)), RATING)
    data = load(folder)
    assert counts.users == {"target": 2, "sharer": 3}
    assert counts.items == sum(len(u.history) for u in data.users)
    assert counts.queries == sum(len(u.queries) for u in data.users)
