import itertools
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from prime_audit.config import load_study
from prime_audit.core import Seeds
from prime_audit.errors import OutputError
from prime_audit.models import Batching
from prime_audit.study.executor import Executor, InProcess
from prime_audit.study.journal import Journal
from prime_audit.study.plan import describe_plan
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.schedule import finished
from prime_audit.study.schedule import run_units as schedule
from prime_audit.study.store import Store
from prime_audit.study.units import Output, Outputs, Unit, unit_key
from tests.support import write_study


def run_units(units: list[Unit], journal: Journal, executor: Executor | None = None) -> dict[str, Output]:
    return schedule(units, journal, NO_PROGRESS, executor or InProcess(Seeds(7), Batching()))


def test_a_key_depends_on_name_part_and_needs() -> None:
    key = unit_key("train/a", {"lr": 0.1}, ("k",))
    assert key == unit_key("train/a", {"lr": 0.1}, ("k",))
    others = {
        unit_key("train/b", {"lr": 0.1}, ("k",)),
        unit_key("train/a", {"lr": 0.2}, ("k",)),
        unit_key("train/a", {"lr": 0.1}, ("other",)),
    }
    assert key not in others
    assert len(others) == 3


def test_finished_units_do_not_run_again_and_outputs_reach_later_units(tmp_path: Path) -> None:
    ran: list[str] = []

    def first(outputs: Outputs) -> Output:
        ran.append("first")
        return {"value": 2}

    def second(outputs: Outputs) -> Output:
        ran.append("second")
        return {"value": outputs["first"]["value"] + 1}

    units = [
        Unit("first", "first", "k1", first),
        Unit("second", "second", "k2", second, needs=("first",)),
    ]
    run_units(units[:1], Journal(tmp_path / "j"))
    outputs = run_units(units, Journal(tmp_path / "j"))
    assert ran == ["first", "second"]
    assert outputs["second"] == {"value": 3}


def test_a_unit_whose_artefact_was_deleted_runs_again(tmp_path: Path) -> None:
    artefact = tmp_path / "evidence"

    def write(outputs: Outputs) -> Output:
        artefact.write_text("scores")
        return {}

    unit = Unit("score", "score", "k1", write, artefact)
    run_units([unit], Journal(tmp_path / "j"))
    artefact.unlink()
    run_units([unit], Journal(tmp_path / "j"))
    assert artefact.exists()


def test_a_unit_that_fails_leaves_the_earlier_ones_finished(tmp_path: Path) -> None:
    def fine(outputs: Outputs) -> Output:
        return {}

    def broken(outputs: Outputs) -> Output:
        raise RuntimeError("no")

    units = [Unit("fine", "fine", "k1", fine), Unit("broken", "broken", "k2", broken)]
    with pytest.raises(RuntimeError):
        run_units(units, Journal(tmp_path / "j"))
    journal = Journal(tmp_path / "j")
    assert journal.get("k1") is not None
    assert journal.get("k2") is None


def test_the_store_makes_a_module_once_and_never_half(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    calls: list[Path] = []

    def write(folder: Path) -> None:
        calls.append(folder)
        (folder / "weights").write_text("w")

    def fail(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        store.ensure("key", fail)
    assert not store.path("key").exists()
    assert not store.ensure("key", write)
    assert store.ensure("key", write)
    assert len(calls) == 1
    assert (store.path("key") / "weights").read_text() == "w"


def test_earlier_artefacts_are_not_finished_without_their_journal_line(tmp_path: Path) -> None:
    artefact = tmp_path / "evidence"
    artefact.write_text("scores")
    unit = Unit("score", "score", "k1", lambda outputs: {}, artefact)
    assert not finished(unit, Journal(tmp_path / "j"))


@pytest.mark.parametrize("late", [False, True])
def test_of_two_runs_that_make_a_module_at_once_the_first_ones_stays(
    late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")

    def others() -> None:
        store.path("key").mkdir()
        (store.path("key") / "weights").write_text("theirs")

    def write(folder: Path) -> None:
        (folder / "weights").write_text("mine")
        if not late:
            others()

    rename = os.rename

    def slow(source: Path, target: Path) -> None:
        others()
        rename(source, target)

    if late:
        monkeypatch.setattr(os, "rename", slow)
    assert not store.ensure("key", write)
    assert (store.path("key") / "weights").read_text() == "theirs"
    assert list((tmp_path / "store" / "modules").iterdir()) == [store.path("key")]


def test_a_store_is_made_by_a_run_and_not_by_looking_at_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "store"))
    assert describe_plan(load_study(write_study(tmp_path)))
    assert not (tmp_path / "store").exists()
    Store(tmp_path / "store").begin()
    assert (tmp_path / "store" / "modules").is_dir()


def test_a_store_that_cannot_be_made_is_named_when_a_run_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = Store(tmp_path / "file")
    makes: list[Callable[[], object]] = [store.begin, lambda: store.ensure("key", lambda folder: None)]
    for make in makes:
        with pytest.raises(OutputError, match=r"the module store .* cannot be created") as caught:
            make()
        assert "PRIME_AUDIT_CACHE" in caught.value.hint


def test_a_run_removes_what_killed_ones_have_left_in_the_store_for_a_day(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = (tmp_path / "modules" / f".key.{name}.tmp" for name in ("abcdefgh", "12345678"))
    inner = tmp_path / "modules" / "whole" / old.name
    for path in (old, new, inner):
        path.mkdir(parents=True)
    for path in (old, inner):
        os.utime(path, (0, 0))
    Store(tmp_path)
    assert old.exists()
    store.begin()
    assert not old.exists()
    assert new.exists()
    assert inner.exists()


def test_a_run_begins_while_others_write_to_the_store(tmp_path: Path) -> None:
    store, done = Store(tmp_path), threading.Event()
    store.begin()

    def others() -> None:
        for number in itertools.count():
            if done.is_set():
                return
            store.ensure(f"key{number % 8}", lambda folder: (folder / "weights").mkdir())
            shutil.rmtree(store.path(f"key{(number + 4) % 8}"), ignore_errors=True)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(200):
            store.begin()
    finally:
        done.set()
        thread.join()
