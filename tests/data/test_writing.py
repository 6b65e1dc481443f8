"""Writing users in every layout: round trips, and what a layout cannot hold."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from prime_audit.config import DataConfig
from prime_audit.data import (
    FORMS,
    OTHERS,
    TASKS,
    Dataset,
    load_task,
    make_dataset,
    read_dataset,
    write_dataset,
)
from prime_audit.data.reading import LayoutName
from prime_audit.errors import DataError, OutputError
from tests.lamp_files import write_lamp, write_per_pcs
from tests.support import user, write_users


def load(path: Path, task: str, **keys: object) -> Dataset:
    return read_dataset(DataConfig.model_validate({"path": str(path), **keys}), load_task(task))


def histories(data: Dataset) -> list[object]:
    return [(u.id, u.role, u.history) for u in data.users]


@pytest.mark.parametrize("task", list(FORMS))
def test_lamp_to_per_pcs_to_users_and_back(tmp_path: Path, task: str) -> None:
    first = load(write_lamp(tmp_path / "a", task), task)
    for layout, source in (("per-pcs", first), ("users", first), ("lamp", first)):
        write_dataset(source, layout, tmp_path / layout)  # type: ignore[arg-type]
        again = load(tmp_path / layout, task)
        assert histories(again) == histories(first)
        assert again.targets == first.targets
    # In LaMP's layout nothing is lost; neither is it in users.jsonl.
    assert load(tmp_path / "lamp", task).digest == load(tmp_path / "users", task).digest == first.digest


@pytest.mark.parametrize("task", ["lamp-1", "lamp-3"])
def test_per_pcs_to_users_and_back(tmp_path: Path, task: str) -> None:
    first = load(write_per_pcs(tmp_path / "a", task), task)
    write_dataset(first, "users", tmp_path / "users")
    write_dataset(load(tmp_path / "users", task), "per-pcs", tmp_path / "b")
    assert load(tmp_path / "b", task).digest == first.digest


def test_sharers_without_questions_go_to_a_file_of_their_own(tmp_path: Path) -> None:
    people = [user("p", "public"), user("s"), {**user("t", "target"), "profile_text": "Short."}]
    first = load(write_users(tmp_path, *people), "lamp-4")
    paths = write_dataset(first, "lamp", tmp_path / "lamp")
    assert [path.name for path in paths] == ["dev_questions.json", "dev_outputs.json", OTHERS]
    again = load(tmp_path / "lamp", "lamp-4", sharers_from=str(tmp_path / "lamp" / OTHERS))
    assert histories(again) == histories(first)
    write_dataset(first, "per-pcs", tmp_path / "per-pcs")
    assert load(tmp_path / "per-pcs", "lamp-4").digest == first.digest


def test_files_are_private_and_nothing_is_replaced(tmp_path: Path) -> None:
    data = load(write_lamp(tmp_path / "a", "lamp-3"), "lamp-3")
    paths = write_dataset(data, "per-pcs", tmp_path / "out" / "deep")
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    with pytest.raises(OutputError, match="not empty"):
        write_dataset(data, "per-pcs", tmp_path / "out" / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_dataset(data, "lamp", tmp_path / "file")


def test_what_a_layout_cannot_hold(tmp_path: Path) -> None:
    data = load(write_users(tmp_path, user("a", "target"), user("b", "target")), "lamp-4")
    (one, two) = data.targets
    same = make_dataset(data.task, [one, replace(two, queries=one.queries)])
    layouts: tuple[LayoutName, ...] = ("lamp", "per-pcs")
    for layout in layouts:
        with pytest.raises(DataError, match="users 'a' and 'b' both have a query 'a-q'"):
            write_dataset(same, layout, tmp_path / "x")
        own = make_dataset(replace(data.task, id="mine"), data.users)
        with pytest.raises(DataError, match=f"the {layout} layout does not hold task mine"):
            write_dataset(own, layout, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    write_dataset(same, "users", tmp_path / "x")


def test_written_questions_hold_lamps_markers_and_no_words_of_lamp(tmp_path: Path) -> None:
    for task in FORMS:
        data = load(write_lamp(tmp_path / f"{task}-in", task), task)
        write_dataset(data, "lamp", tmp_path / task)
        first = json.loads((tmp_path / task / "dev_questions.json").read_text())[0]
        assert first["input"].startswith(TASKS[task].instruction)
        assert json.loads((tmp_path / task / "dev_outputs.json").read_text())["task"] == FORMS[task].name
