"""Units give the same outputs whoever carries them out, and a worker's death costs its unit alone."""

import importlib.util
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from prime_audit.config import load_study
from prime_audit.core import Seeds, digest_folder
from prime_audit.errors import ConfigError, DataError, IncompleteError, OutputError
from prime_audit.models import Batching
from prime_audit.study.executor import Done, Executor, InProcess
from prime_audit.study.inputs import load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.opening import open_study
from prime_audit.study.processes import Processes
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.ray_workers import RayWorkers, _room
from prime_audit.study.reuse import take_over
from prime_audit.study.schedule import Stopped, finished, run_units
from prime_audit.study.units import Output, Outputs, Unit
from prime_audit.study.workbench import Workbench
from prime_audit.study.worker import Message, Worker, setup_message, task_message
from tests.support import write_study

RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra prime-audit[ray]")
Made = tuple[Workbench, list[Unit]]


def opened(home: Path) -> Made:
    """A study of a dozen units with a run directory and a store of its own."""
    (home / "run" / "evidence").mkdir(parents=True)
    methods = ["base", {"kind": "prime", "budget": 12}]
    path = write_study(home, methods=methods, data={"sharers": 3, "targets": 1})
    config = load_study(path)
    return open_study(config, load_dataset(config), home / "store", home / "run")


def setup(made: Made) -> Message:
    return setup_message(made[0], 1)


def processes(made: Made) -> Executor:
    return Processes(setup(made), 2)


def on_ray(made: Made) -> Executor:
    return RayWorkers(setup(made), 2, None)


class Murderous:
    """Kills the worker of the third unit while it works on it."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.submitted: list[str] = []

    @property
    def free(self) -> int:
        return self.executor.free

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        self.executor.submit(unit, outputs)
        self.submitted.append(unit.name)
        if len(self.submitted) != 3:
            return
        if isinstance(self.executor, Processes):
            self.executor._busy[unit.name]._process.kill()
        elif isinstance(self.executor, RayWorkers):
            (actor,) = [actor for name, actor, _ in self.executor._busy.values() if name == unit.name]
            self.executor._ray.kill(actor)

    def wait(self) -> Done:
        return self.executor.wait()

    def close(self) -> None:
        self.executor.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Output], str]:
    """The outputs of the study and a digest of its files, made in a worker's way but in this process."""
    home = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    made = opened(home)
    worker = Worker(setup(made))
    outputs: dict[str, Output] = {}
    for unit in made[1]:
        outputs[unit.name] = worker.carry_out(task_message(unit, outputs))["output"]
    torch.set_num_threads(threads)
    return outputs, digest_folder(home / "run")


@pytest.mark.parametrize("make", [processes, pytest.param(on_ray, marks=RAY)])
def test_outputs_and_files_are_those_of_one_process_although_a_worker_dies(
    make: Callable[[Made], Executor], alone: tuple[dict[str, Output], str], tmp_path: Path
) -> None:
    made = opened(tmp_path)
    with closing(Murderous(make(made))) as executor:
        outputs = run_units(made[1], Journal(tmp_path / "journal"), NO_PROGRESS, executor)
    third = executor.submitted[2]
    assert executor.submitted.count(third) == 2
    assert len(executor.submitted) == len(made[1]) + 1
    assert list(outputs) == [unit.name for unit in made[1]]
    assert outputs == alone[0]
    assert digest_folder(tmp_path / "run") == alone[1]


def test_a_worker_refuses_a_unit_that_it_would_key_otherwise(tmp_path: Path) -> None:
    made = opened(tmp_path)
    unit = made[1][0]
    answer = Worker(setup(made)).carry_out({"unit": unit.name, "key": "0" * 64, "outputs": {}})
    assert (answer["kind"], unit.name in answer["message"]) == ("IncompleteError", True)


class Dying:
    """Loses the worker of every unit called bad."""

    def __init__(self) -> None:
        self.free = 1
        self.tries: list[str] = []

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        self.free = 0
        self.tries.append(unit.name)

    def wait(self) -> Done:
        self.free = 1
        name = self.tries[-1]
        return Done(name, lost="killed by signal 9") if name == "bad" else Done(name, {}, 0.0)

    def close(self) -> None: ...


def units(*named: tuple[str, tuple[str, ...]]) -> list[Unit]:
    return [Unit(name, name, name, lambda outputs: {"saw": sorted(outputs)}, needs=n) for name, n in named]


def test_a_unit_that_kills_every_worker_is_given_up_and_the_others_are_kept(tmp_path: Path) -> None:
    executor = Dying()
    with pytest.raises(IncompleteError, match=r"unit bad: its worker died 3 times \(killed by signal 9\)"):
        run_units(units(("good", ()), ("bad", ())), Journal(tmp_path / "j"), NO_PROGRESS, executor)
    assert executor.tries == ["good", "bad", "bad", "bad"]
    assert Journal(tmp_path / "j").get("good") is not None


def test_a_unit_sees_what_it_follows_from_and_nothing_else(tmp_path: Path) -> None:
    plan = units(("a", ()), ("b", ("a",)), ("c", ()), ("d", ("b",)))
    outputs = run_units(plan, Journal(tmp_path / "j"), NO_PROGRESS, InProcess(Seeds(1), Batching()))
    assert outputs["d"] == {"saw": ["a", "b"]}
    assert outputs["c"] == {"saw": []}


def test_a_stopped_run_begins_no_further_unit(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with pytest.raises(Stopped) as caught:
        run_units(
            units(("a", ()), ("b", ())),
            journal,
            NO_PROGRESS,
            InProcess(Seeds(1), Batching()),
            lambda: 2 if journal.get("a") else 0,
        )
    assert caught.value.number == 2
    assert journal.get("b") is None


def test_a_cluster_takes_as_many_workers_as_it_has_room_for() -> None:
    assert _room({"CPU": 16.0, "GPU": 3.0}, {"CPU": 4, "GPU": 0}) == 4
    assert _room({"CPU": 16.0, "GPU": 3.0}, {"CPU": 4, "GPU": 1}) == 3
    with pytest.raises(OutputError, match="a worker takes 4 CPU and 1 GPU, which the Ray cluster"):
        _room({"CPU": 16.0}, {"CPU": 4, "GPU": 1})


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="Ray is not installed") as caught:
        RayWorkers({"threads": 1}, 1, None)
    assert "prime-audit[ray]" in caught.value.hint


def test_a_directory_without_a_run_cannot_be_reused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no run to reuse"):
        take_over([], Journal(tmp_path / "j"), tmp_path, tmp_path / "nowhere")


def test_a_unit_whose_file_is_gone_is_not_taken_over(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "evidence").mkdir(parents=True)
    for name in ("there", "gone"):
        entry: dict[str, Any] = {"key": name, "unit": name, "seconds": 1.0, "output": {}}
        Journal(one / "journal.jsonl").append(entry)
    (one / "evidence" / "there").write_text("scores")
    plan = [Unit(n, n, n, lambda outputs: {}, two / "evidence" / n) for n in ("there", "gone", "new")]
    journal = Journal(two / "journal.jsonl")
    assert take_over(plan, journal, two, one) == 1
    assert [finished(unit, journal) for unit in plan] == [True, False, False]
    assert (two / "evidence" / "there").read_text() == "scores"
