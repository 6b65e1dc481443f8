"""Units give the same outputs whoever carries them out, and a worker's death costs its unit alone."""

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import cosine_kernel
from prime_audit.audit.linkage import as_change
from prime_audit.config import ModelConfig, load_study
from prime_audit.core import Seeds, digest_folder
from prime_audit.errors import IncompleteError, OutputError, PrimeAuditError
from prime_audit.models import Batching
from prime_audit.study.executor import Done, Executor, InProcess, Waiting
from prime_audit.study.identity import versions
from prime_audit.study.inputs import load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.opening import open_study
from prime_audit.study.processes import Processes, _Process
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.ray_workers import RayWorkers
from prime_audit.study.schedule import Stopped, run_units
from prime_audit.study.units import Output, Outputs, Unit
from prime_audit.study.workbench import Workbench
from prime_audit.study.worker import Message, Worker, answer_to, read_answer, setup_message, task_message
from tests.support import Notes, write_study

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
            (worker,) = [worker for name, worker in self.executor._busy.values() if name == unit.name]
            self.executor._ray.kill(worker.actor)

    def wait(self) -> Done | Waiting:
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
    make: Callable[[Made], Executor],
    alone: tuple[dict[str, Output], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = opened(tmp_path)
    # Files of the working folder that are called like packages are not what a worker imports.
    for name in ("yaml", "attacks"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with closing(Murderous(make(made))) as executor:
        outputs = run_units(made[1], Journal(tmp_path / "journal"), NO_PROGRESS, executor)
    third = executor.submitted[2]
    assert executor.submitted.count(third) == 2
    assert len(executor.submitted) == len(made[1]) + 1
    assert list(outputs) == [unit.name for unit in made[1]]
    assert outputs == alone[0]
    assert digest_folder(tmp_path / "run") == alone[1]
    assert not (tmp_path / "ran").exists()


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


@RAY
def test_ray_leaves_sigterm_to_the_command(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def mine(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGTERM, mine)
    try:
        with closing(RayWorkers({"threads": 1, "device": "cpu", "out": str(tmp_path)}, 1, None)):
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_in_the_last_unit_stops_the_run_too(tmp_path: Path) -> None:
    ended: list[str] = []

    def last(outputs: Outputs) -> Output:
        ended.append("b")
        return {}

    first, second = units(("a", ()), ("b", ("a",)))
    journal = Journal(tmp_path / "j")
    with pytest.raises(Stopped):
        run_units(
            [first, replace(second, run=last)],
            journal,
            NO_PROGRESS,
            InProcess(Seeds(1), Batching()),
            lambda: 15 if ended else 0,
        )
    assert journal.get(first.key) is not None
    assert journal.get(second.key) is not None


def test_a_signal_between_two_questions_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    answers = iter([0, 15, 15, 15])
    with pytest.raises(Stopped) as caught:
        run_units(
            units(("a", ())),
            Journal(tmp_path / "j"),
            NO_PROGRESS,
            InProcess(Seeds(1), Batching()),
            lambda: next(answers),
        )
    assert caught.value.number == 15


def test_a_worker_that_dies_while_the_run_stops_is_not_said_to_be_tried_again(tmp_path: Path) -> None:
    executor = Dying()
    heard = Notes()
    with pytest.raises(Stopped):
        run_units(
            units(("bad", ()), ("good", ())),
            Journal(tmp_path / "j"),
            heard,
            executor,
            lambda: 15 if executor.tries else 0,
        )
    assert (executor.tries, heard.notes) == (["bad"], [])


def test_a_signal_to_the_commands_group_does_not_reach_a_worker_which_ends_with_the_commands_pipe() -> None:
    process = _Process({"versions": {}})
    assert os.getpgid(process._process.pid) == process._process.pid != os.getpgid(0)
    assert process._process.stdin is not None
    # What happens to it when the command dies, however that was.
    process._process.stdin.close()
    assert process._process.wait(60) == 0
    assert process.end() == "exit code 0"


def test_a_worker_with_another_version_of_a_package_is_refused_by_its_name(tmp_path: Path) -> None:
    message = setup(opened(tmp_path))
    assert {"prime-audit", "torch", "transformers", "peft", "numpy", "scipy"} < set(message["versions"])
    message["versions"] = {**message["versions"], "scipy": "0.1", "no-such-package": "2.0"}
    with pytest.raises(
        IncompleteError, match=r"other packages than the command: scipy \S+ instead of 0\.1"
    ) as caught:
        Worker(message)
    assert str(caught.value).endswith(", no-such-package not installed instead of 2.0")


@pytest.mark.parametrize("setup_line", ['{"versions": {}}', "{}", "no JSON"])
def test_a_worker_that_cannot_begin_answers_with_the_reason(
    setup_line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "from prime_audit.study.worker import main; main()"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(setup_line + '\n{"unit": "a", "key": "a", "outputs": {}}\n')
        worker.stdin.flush()
        found = read_answer(json.loads(worker.stdout.readline()))
    assert (found.name, found.lost, found.output) == ("a", "", None)
    assert isinstance(found.error, PrimeAuditError)
    assert "Traceback" not in capfd.readouterr().err


def test_an_output_that_is_no_json_is_the_units_error(tmp_path: Path) -> None:
    class Odd(Worker):
        def __init__(self) -> None: ...

        def carry_out(self, task: Message) -> Message:
            return {"unit": "a", "output": {"value": math.nan}}

    found = read_answer(json.loads(answer_to({"unit": "a"}, Odd())))
    assert "unit a: unexpected ValueError" in str(found.error)


@pytest.mark.parametrize("lacks", ["out", "folder"])
def test_a_worker_that_does_not_see_a_folder_says_which_and_what_must_be_shared(
    lacks: str, tmp_path: Path
) -> None:
    message = {
        "versions": versions(ModelConfig()),
        "out": str(tmp_path),
        "folder": str(tmp_path),
        "threads": 1,
    }
    with pytest.raises(OutputError, match="gone: this worker does not see the") as caught:
        Worker({**message, lacks: str(tmp_path / "gone")})
    assert "the data and the base model" in caught.value.hint


def test_of_many_modules_only_some_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, units = opened(tmp_path)
    for unit in units:
        if unit.stage in ("adapt", "train"):
            unit.run({})
    users = [user.id for user in bench.dataset.sharers]
    whole = bench.modules_on_disk(users)
    assert all(whole[user] is bench.module(user) for user in users)
    monkeypatch.setattr("prime_audit.study.workbench._KEPT", 1)
    some = bench.modules_on_disk(users)
    assert [isinstance(some[user].factors, dict) for user in users] == [True, False, False]
    assert [one.digest for one in some.values()] == [one.digest for one in whole.values()]
    assert [one.origin for one in some.values()] == users
    # What compares them finds the same, to the last bit.
    expected, found = (cosine_kernel([as_change(m) for m in each.values()]) for each in (whole, some))
    assert np.array_equal(found, expected)
