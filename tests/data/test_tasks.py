"""The task registry, prompts, and tasks from a user's own file."""

from pathlib import Path

import pytest

from prime_audit.data import TASKS, Item, load_task
from prime_audit.errors import ConfigError, DataError

OWN = """\
id: mood
title: Mood of a note
kind: choice
instruction: "What mood is {this}?"
input_name: Note
answer_name: Mood
labels: [no, yes, 3]
max_new_tokens: 4
"""


def test_the_registry_holds_lamps_labels_and_metrics() -> None:
    assert {name: (task.id, task.kind, task.metric, len(task.labels)) for name, task in TASKS.items()} == {
        "lamp-1": ("lamp-1", "choice", "accuracy", 2),
        "lamp-2": ("lamp-2", "choice", "accuracy", 15),
        "lamp-2n": ("lamp-2n", "choice", "accuracy", 15),
        "lamp-3": ("lamp-3", "number", "mae", 5),
        "lamp-4": ("lamp-4", "text", "rouge_l", 0),
        "lamp-5": ("lamp-5", "text", "rouge_l", 0),
        "lamp-6": ("lamp-6", "text", "rouge_l", 0),
        "lamp-7": ("lamp-7", "text", "rouge_l", 0),
    }
    assert TASKS["lamp-2n"].labels[::14] == ("food & drink", "healthy living")
    assert TASKS["lamp-2"].labels[:2] == ("sci-fi", "based on a book")
    assert TASKS["lamp-2"].labels[-1] == "true story"


def test_a_prompt_ends_where_the_answer_begins() -> None:
    task = TASKS["lamp-3"]
    prompt = task.prompt("Good {0} song")
    assert prompt == f"{task.instruction}\nReview: Good {{0}} song\nStars:"
    assert prompt + task.completion("4") == f"{prompt} 4"


def test_examples_come_first() -> None:
    task = TASKS["lamp-4"]
    shown = task.prompt("new", [Item("1", "old", "Old title"), Item("2", "older", "B")])
    assert shown == f"Text: old\nHeadline: Old title\n\nText: older\nHeadline: B\n\n{task.prompt('new')}"


def test_a_task_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mood.yaml"
    path.write_text(OWN)
    task = load_task(path)
    assert (task.id, task.title, task.kind, task.metric) == ("mood", "Mood of a note", "choice", "accuracy")
    assert task.labels == ("no", "yes", "3")
    assert (task.max_new_tokens, task.query_marker) == (4, None)
    assert task.prompt("x") == "What mood is {this}?\nNote: x\nMood:"
    assert load_task(str(path)) == task
    assert load_task("lamp-2") is TASKS["lamp-2"]


def test_a_number_task_scales_by_its_own_labels(tmp_path: Path) -> None:
    from prime_audit.utility import score

    path = tmp_path / "t.yaml"
    path.write_text(OWN.replace("choice", "number").replace("[no, yes, 3]", "[0, 5, 10]"))
    task = load_task(path)
    assert score(task, ["5", "none"], ["10", "0"]).per_item.tolist() == [0.5, 0.0]


def test_a_text_task_needs_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(OWN.replace("choice", "text").replace("labels: [no, yes, 3]\n", ""))
    task = load_task(path)
    assert (task.kind, task.metric, task.labels, task.past) == ("text", "rouge_l", (), task)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("labels", "lables", "unknown key 'lables'; did you mean 'labels'?"),
        ("instruction", "zzz", "the key 'instruction' is missing"),
        (
            "kind: choice",
            "kind: choise",
            "'choise' is not one of choice, number, text; did you mean 'choice'?",
        ),
        ("kind: choice", "kind: text", "labels: a text task has none"),
        ("kind: choice", "kind: number", "labels: a number task needs numbers in ascending order"),
        ("[no, yes, 3]", "[no]", "labels: a choice task needs at least two"),
        ("[no, yes, 3]", "[no, yes, ' no']", "labels: each must differ"),
        ("[no, yes, 3]", "[no, [yes]]", "labels.1: should be"),
        ("max_new_tokens: 4", "max_new_tokens: 0", "max_new_tokens: should be greater than or equal to 1"),
        ("id: mood", "id: lamp-4", "id: 'lamp-4' is the name of a registered task"),
        ("id: mood", "id: ../x", "id: '../x' is not a usable name"),
        ("input_name: Note", "input_name: ' '", "input_name: should have at least 1 character"),
        ("title:", "id:", "line 2, column 1: the key 'id' appears twice"),
    ],
)
def test_faults_of_a_task_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_task(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_unknown_tasks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no task 'lamp4'") as caught:
        load_task("lamp4")
    assert "did you mean 'lamp-4'?" in caught.value.hint
    with pytest.raises(ConfigError, match="no such file"):
        load_task(tmp_path / "none.yaml")
    (tmp_path / "l.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="list of 'key: value' lines"):
        load_task(tmp_path / "l.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        load_task(tmp_path / "b.yaml")
