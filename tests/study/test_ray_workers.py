"""What becomes of a run on a cluster whose nodes go, are busy or too small, with a stand-in for Ray."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prime_audit.errors import ConfigError, IncompleteError, OutputError, PrimeAuditError
from prime_audit.study import ray_workers
from prime_audit.study.journal import Journal
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.ray_workers import RayWorkers, _room
from prime_audit.study.schedule import Stopped, run_units
from prime_audit.study.units import Output, Unit
from prime_audit.study.worker import Message
from tests.study.fake_ray import FakeRay
from tests.support import Notes

RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra prime-audit[ray]")
Act = Callable[[str], Output]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units that workers began, in order."""
    return working(monkeypatch, lambda name: {"of": name})


def working(monkeypatch: pytest.MonkeyPatch, act: Act) -> list[str]:
    """Has workers do as ``act`` does; returns the units that they began."""
    names: list[str] = []

    class Working:
        def __init__(self, setup: Message) -> None: ...

        def carry_out(self, task: Message) -> Message:
            names.append(task["unit"])
            return {"unit": task["unit"], "output": act(task["unit"]), "seconds": 0.0, "halved": 0}

    monkeypatch.setattr(ray_workers, "Worker", Working)
    return names


def setup(home: Path, threads: int = 1, device: str = "cpu") -> Message:
    return {"threads": threads, "device": device, "out": str(home)}


def plan(count: int) -> list[Unit]:
    return [Unit(f"u{i}", "s", f"u{i}", lambda outputs: {}) for i in range(count)]


def run(
    home: Path,
    workers: int,
    count: int,
    heard: Notes | None = None,
    stopping: Callable[[], int] = lambda: 0,
) -> dict[str, Output]:
    with closing(RayWorkers(setup(home), workers, None)) as executor:
        journal = Journal(home / "journal")
        return run_units(plan(count), journal, heard or NO_PROGRESS, executor, stopping)


def test_a_run_that_loses_a_node_ends_on_the_workers_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=1, two=1)

    def act(name: str) -> Output:
        if ray.current is not None and ray.current.on == "two":
            ray.lose("two")
        return {"of": name}

    begun = working(monkeypatch, act)
    heard = Notes()
    outputs = run(tmp_path, 4, 6, heard)
    assert list(outputs.values()) == [{"of": f"u{i}"} for i in range(6)]
    # One unit was begun twice, and no worker was asked for that no node can hold.
    assert (len(begun), len(ray.actors), ray.most) == (7, 2, 2)
    assert len(heard.notes) == 1
    assert "died (ActorDiedError); the unit is tried again" in heard.notes[0]


@pytest.mark.parametrize("lose", [FakeRay.lose, FakeRay.lose_unnoticed])
def test_a_unit_is_not_tried_with_the_idle_workers_of_a_node_that_is_gone(
    lose: Callable[[FakeRay, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, big=5, small=1)

    def act(name: str) -> Output:
        if name == "u1" and ray.current is not None and ray.current.on == "big":
            lose(ray, "big")
        return {"of": name}

    begun = working(monkeypatch, act)
    # Alone at its turn: the other workers are idle.
    second = Unit("u1", "s", "u1", lambda outputs: {}, needs=("u0",))
    with closing(RayWorkers(setup(tmp_path), 6, None)) as executor:
        # All come up before there is work.
        while executor.free < 6:
            executor.wait()
        # The last one in is the first one out, and that one is on the node that stays.
        executor._idle.reverse()
        outputs = run_units([*plan(1), second], Journal(tmp_path / "j"), NO_PROGRESS, executor)
    assert list(outputs) == ["u0", "u1"]
    assert begun == ["u0", "u1", "u1"]


def test_a_run_without_any_node_left_ends_with_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=2)

    def act(name: str) -> Output:
        if name == "u2":
            ray.lose("one")
        return {"of": name}

    working(monkeypatch, act)
    lost = r"all workers are lost: a worker takes 1 CPU, which no node .* \(they have nothing\)"
    with pytest.raises(IncompleteError, match=lost) as caught:
        run(tmp_path, 2, 5)
    assert "the same command continues" in caught.value.hint
    assert Journal(tmp_path / "journal").get("u0") is not None
    assert ray.shutdowns == 1


def test_a_worker_that_waits_on_a_node_that_goes_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.taken["one"] = 1
    ray.events = lambda now: ray.lose("one") if now > 10 and ray.cpus else None
    with pytest.raises(IncompleteError, match="all workers are lost"):
        run(tmp_path, 1, 1)
    assert (begun, ray.living()) == ([], [])


def test_workers_that_never_come_up_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.broken = [True] * 9
    with pytest.raises(IncompleteError, match=r"no worker comes up .*: 3 failed .* \(ActorDiedError\)"):
        run(tmp_path, 1, 1)
    assert (begun, len(ray.actors)) == ([], 3)


def test_starts_that_fail_are_forgotten_once_a_worker_comes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.broken = [True, True, False, True, True, False]

    def act(name: str) -> Output:
        if len(ray.actors) == 3:
            ray.living()[0].dead = True
        return {"of": name}

    working(monkeypatch, act)
    assert list(run(tmp_path, 1, 2)) == ["u0", "u1"]
    assert len(ray.actors) == 6


def test_one_worker_does_everything_while_the_others_wait_for_a_place_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=4)
    ray.taken["one"] = 3

    def act(name: str) -> Output:
        ray.now += 25
        return {"of": name}

    begun = working(monkeypatch, act)
    heard = Notes()
    assert len(run(tmp_path, 4, 8, heard)) == len(begun) == 8
    assert len(heard.notes) == 1
    assert heard.notes[0].startswith("3 workers found no free place on the Ray cluster within 75 s")
    assert heard.notes[0].endswith("the run goes on with the 1 that have")


def test_a_busy_cluster_is_told_of_once_and_the_run_goes_on_when_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.taken["one"] = 1
    ray.events = lambda now: ray.taken.clear() if now > 300 else None
    heard = Notes()
    run(tmp_path, 1, 2, heard)
    assert begun == ["u0", "u1"]
    assert len(heard.notes) == 1
    assert heard.notes[0].startswith("1 worker found no free place on the Ray cluster within 60 s")
    assert heard.notes[0].endswith("the run goes on as soon as one has")


def test_a_run_that_waits_for_a_place_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.taken["one"] = 1
    with pytest.raises(Stopped):
        run(tmp_path, 1, 2, stopping=lambda: 2 if ray.now > 10 else 0)
    assert begun == []
    assert ray.now < 20


@pytest.mark.parametrize("dies", [False, True])
def test_a_stopped_run_asks_nothing_of_ray_which_may_be_gone(
    dies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=2)
    ray.busy_until = 20

    def unanswered() -> list[dict[str, Any]]:
        raise AssertionError("it would wait for ever")

    def signalled() -> int:
        if ray.now <= 10:
            return 0
        monkeypatch.setattr(ray, "nodes", unanswered)
        ray.actors[0].dead = dies
        return 15

    with pytest.raises(Stopped):
        run(tmp_path, 2, 4, stopping=signalled)
    assert begun == (["u1"] if dies else ["u0", "u1"])
    journal = Journal(tmp_path / "journal")
    assert [journal.get(f"u{i}") is not None for i in range(4)] == [not dies, True, False, False]


def test_a_node_that_joins_takes_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.taken.update(one=1, two=1)

    def join(now: float) -> None:
        if now > 10:
            ray.cpus["two"] = 1
        if now > 20:
            ray.taken.clear()

    ray.events = join
    run(tmp_path, 2, 2)
    assert (len(begun), len(ray.actors)) == (2, 2)


@pytest.mark.parametrize("fault", ["nan", "raises"])
def test_what_goes_wrong_in_a_task_is_the_units_error_and_not_its_workers_death(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=1)

    def act(name: str) -> Output:
        if fault == "raises":
            raise ValueError("what a user wrote")
        return {"of": float("nan")}

    begun = working(monkeypatch, act)
    with pytest.raises(PrimeAuditError, match="unit u0: unexpected ValueError in") as caught:
        run(tmp_path, 1, 1)
    assert "what a user wrote" not in str(caught.value)
    assert (begun, len(ray.actors), len(ray.living())) == (["u0"], 1, 1)


def test_an_error_that_ray_itself_reports_of_a_task_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    monkeypatch.setattr(ray_workers._RayWorker, "carry_out", lambda worker, task: 1 // 0)
    with pytest.raises(PrimeAuditError, match="unit u0: unexpected RayTaskError"):
        run(tmp_path, 1, 1)
    assert (len(ray.actors), len(ray.living())) == (1, 1)


def nodes(*resources: dict[str, float]) -> list[dict[str, Any]]:
    return [{"Alive": True, "NodeID": str(i), "Resources": has} for i, has in enumerate(resources)]


def test_a_cluster_takes_as_many_workers_as_fit_on_its_nodes() -> None:
    large, small = {"CPU": 16.0, "GPU": 3.0}, {"CPU": 3.0, "GPU": 2.0}
    assert _room(nodes(large), {"CPU": 4, "GPU": 0}) == 4
    assert _room(nodes(large, small), {"CPU": 4, "GPU": 1}) == 3
    assert _room(nodes(large, large), {"CPU": 9, "GPU": 0}) == 2
    assert _room(nodes({"memory": 1.0}), {"CPU": 1, "GPU": 0}) == 0


def test_nodes_that_are_dead_hold_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    ray = FakeRay(monkeypatch, one=1, two=8)
    ray.lose("two")
    run(tmp_path, 4, 2)
    assert len(ray.actors) == 1


def test_a_worker_that_fits_on_no_single_node_is_refused_and_ray_is_shut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two nodes with the cores and a third one with the GPU: Ray would let the worker wait for ever.
    ray = FakeRay(monkeypatch)
    cluster = nodes({"CPU": 8.0}, {"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0})
    monkeypatch.setattr(ray, "nodes", lambda: cluster)
    with pytest.raises(OutputError, match=r"a worker takes 4 CPU and 1 GPU, which no node .* has") as caught:
        RayWorkers(setup(tmp_path, 4, "cuda"), 2, None)
    assert "8 CPU and 0 GPU; 8 CPU and 0 GPU; 2 CPU and 1 GPU" in str(caught.value)
    assert (ray.shutdowns, ray.initialized, ray.actors) == (1, False, [])
    with pytest.raises(OutputError, match="takes 10 CPU, which no node"):
        RayWorkers(setup(tmp_path, 10), 2, None)


@pytest.mark.parametrize(("address", "asked"), [(None, "local"), ("auto", "auto"), ("host:1", "host:1")])
def test_without_an_address_a_cluster_is_started_whatever_there_is(
    address: str | None, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    RayWorkers(setup(tmp_path), 1, address).close()
    assert (ray.address, ray.shutdowns) == (asked, 1)


def test_a_program_that_uses_ray_itself_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.initialized = True
    with pytest.raises(ConfigError, match="connected to a Ray cluster already") as caught:
        RayWorkers(setup(tmp_path), 1, None)
    assert "ray.shutdown()" in caught.value.hint
    assert (ray.shutdowns, ray.initialized, ray.address) == (0, True, None)


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="Ray is not installed") as caught:
        RayWorkers(setup(tmp_path), 1, None)
    assert "prime-audit[ray]" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("auto", ConnectionError("x"), "there is no Ray cluster at auto"),
        # What Ray 2.60 raises on a machine that is too busy.
        (
            "auto",
            Exception("The current node timed out\x1b[2J\nduring startup."),
            "started: The current node",
        ),
        (None, ValueError("no port"), "Ray could not be started: no port"),
    ],
)
def test_ray_that_does_not_come_up_is_told_of_and_shut_down(
    address: str | None, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ray = FakeRay(monkeypatch, one=1)
    ray.error = error
    with pytest.raises(OutputError, match=said) as caught:
        RayWorkers(setup(tmp_path), 1, address)
    assert "\x1b" not in str(caught.value)
    assert ray.shutdowns == 1


@RAY
def test_ray_starts_here_although_the_environment_names_another_cluster_and_is_gone_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    cores = 2 * (os.cpu_count() or 1)
    with pytest.raises(OutputError, match=rf"a worker takes {cores} CPU, which no node"):
        RayWorkers(setup(tmp_path, cores), 1, None)
    assert not importlib.import_module("ray").is_initialized()
