"""Workers on a Ray cluster behind the executor's protocol; modules and evidence stay on the shared disk."""

import contextlib
import importlib
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from prime_audit.core import printable
from prime_audit.errors import ConfigError, OutputError
from prime_audit.study.executor import Done
from prime_audit.study.units import Outputs, Unit
from prime_audit.study.worker import Message, Worker, failure, read_answer, task_message


class RayWorkers:
    """Some Ray actors, each with one opened study; one that is lost is replaced.

    What is sent are names, keys and small outputs as JSON text. Modules and evidence are named by their keys
    and read from the run directory and the store, which all nodes must see.
    """

    def __init__(self, setup: Message, workers: int, address: str | None) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            setup: Tells a worker of the study.
            workers: How many work at a time.
            address: Of the cluster, ``auto`` for the one that this machine belongs to; None starts one.

        Raises:
            ConfigError: Ray is not installed.
            OutputError: There is no cluster at the address, none can be started, or no node has room.
        """
        self._ray = _connect(address, setup["out"])
        self._setup = json.dumps(setup)
        wants = {"CPU": setup["threads"], "GPU": int(setup["device"] == "cuda")}
        # A worker that no node has room for would wait for ever, and its unit with it.
        self._workers = min(workers, _room(self._ray.nodes(), wants))
        options = {"num_cpus": wants["CPU"], "num_gpus": wants["GPU"]}
        self._actor: Any = self._ray.remote(**options, max_restarts=0, max_task_retries=0)(_RayWorker)
        self._idle: list[tuple[Any, set[str]]] = []
        self._busy: dict[Any, tuple[str, Any, set[str]]] = {}

    @property
    def free(self) -> int:
        """How many workers have nothing to do, those not started yet included."""
        return self._workers - len(self._busy)

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        """Give a unit to a worker, with the outputs that it has not been sent yet."""
        actor, seen = self._idle.pop() if self._idle else (self._actor.remote(self._setup), set())
        fresh = {name: output for name, output in outputs.items() if name not in seen}
        seen.update(fresh)
        answer = actor.carry_out.remote(json.dumps(task_message(unit, fresh), allow_nan=False))
        self._busy[answer] = (unit.name, actor, seen)

    def wait(self) -> Done:
        """Return the first answer, or the news that a worker is lost."""
        (first, *_), _ = self._ray.wait(list(self._busy), num_returns=1)
        name, actor, seen = self._busy.pop(first)
        try:
            answer = json.loads(self._ray.get(first))
        except self._ray.exceptions.RayError as error:
            return Done(name, lost=type(error).__name__)
        self._idle.append((actor, seen))
        return read_answer(answer)

    def close(self) -> None:
        """Leave the cluster, which ends the workers."""
        self._ray.shutdown()


class _RayWorker:
    """A worker as an actor: text in, text out."""

    def __init__(self, setup: str) -> None:
        self._worker: Worker | Exception
        try:
            self._worker = Worker(json.loads(setup))
        except Exception as error:
            self._worker = error

    def carry_out(self, task: str) -> str:
        message: Message = json.loads(task)
        if isinstance(self._worker, Worker):
            return json.dumps(self._worker.carry_out(message), allow_nan=False)
        return json.dumps(failure(message["unit"], self._worker))


def _room(nodes: Sequence[Mapping[str, Any]], wants: Mapping[str, int]) -> int:
    """Returns how many workers a cluster holds; each lies on one node with all that it takes."""
    asked = {name: count for name, count in wants.items() if count}
    alive: list[Mapping[str, float]] = [node["Resources"] for node in nodes if node["Alive"]]
    room = sum(min(int(has.get(name, 0.0) // count) for name, count in asked.items()) for has in alive)
    if room < 1:
        wanted = " and ".join(f"{count} {name}" for name, count in asked.items())
        found = "; ".join(" and ".join(f"{has.get(name, 0.0):g} {name}" for name in asked) for has in alive)
        raise OutputError(
            f"a worker takes {wanted}, which no node of the Ray cluster has (they have {found or 'nothing'})",
            hint="set a smaller run.threads_per_worker, or model.device: cpu",
        )
    return room


def _connect(address: str | None, out: str) -> ModuleType:
    # Ray would otherwise report its use to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray has its workers import from the current folder first. In the run directory lies nothing to import;
    # in the folder that the command was given in, a file may be called like a library.
    with _handler_kept(signal.SIGTERM), contextlib.chdir(out):
        return _started(address)


@contextlib.contextmanager
def _handler_kept(number: signal.Signals) -> Iterator[None]:
    """Puts back how a signal is handled; Ray takes SIGTERM for itself and would leave with its own code."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        # In any other thread neither Ray nor anybody else can set a handler.
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, before)


def _started(address: str | None) -> ModuleType:
    try:
        # By name: the types must be clean with Ray and without.
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(
            "run.executor is ray, but Ray is not installed", hint="pip install 'prime-audit[ray]'"
        ) from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None)
    except (ConnectionError, ValueError) as error:
        raise OutputError(
            f"there is no Ray cluster at {printable(str(address))}",
            hint="start one with `ray start --head`, or leave --address out to start one for this run",
        ) from error
    except Exception as error:
        # Ray has no error of its own for this: a part of it did not come up in time.
        raise OutputError(
            f"Ray could not be started: {printable(str(error), 200)}",
            hint="the machine may be too busy: the same command again, or --executor local",
        ) from error
    return ray
