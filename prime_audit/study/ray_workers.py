"""Workers on a Ray cluster behind the executor's protocol; modules and evidence stay on the shared disk.

No more workers are asked for than the living nodes can ever hold, and a unit goes only to one that has
come up: one that waits for a place holds nothing up. The nodes are counted again after every loss and when
nothing has ended for a while; a run that has lost all workers and can get no other one ends with an error.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from prime_audit.core import plural, printable
from prime_audit.errors import ConfigError, IncompleteError, OutputError
from prime_audit.study.executor import Done, Waiting
from prime_audit.study.units import Outputs, Unit
from prime_audit.study.worker import Message, Worker, answer_to, failure, read_answer, task_message

_TICK = 2.0  # seconds after which the nodes are counted again
_PATIENCE = 60.0  # seconds that a worker may wait for a place before the user is told
_STARTS = 3  # how many workers may fail to come up, one after another, before no more are started
Node = Mapping[str, Any]


@dataclass
class _Hired:
    """A worker: its actor, since when it is wanted, the node that it runs on, the outputs it was sent."""

    actor: Any
    since: float
    node: str = ""
    seen: set[str] = field(default_factory=set)


class RayWorkers:
    """Some Ray actors, each with one opened study; one that is lost is replaced where a living node has room.

    What is sent are names, keys and small outputs as JSON text. Modules and evidence are named by their keys
    and read from the run directory and the store, which all nodes must see.
    """

    def __init__(self, setup: Message, workers: int, address: str | None) -> None:
        """Connect to a cluster, or start one on this machine, and ask it for workers.

        Args:
            setup: Tells a worker of the study.
            workers: How many work at a time, if the cluster holds so many.
            address: Of the cluster, ``auto`` for the one in ``RAY_ADDRESS`` or else the one that this machine
                belongs to; None starts one, whatever there is.

        Raises:
            ConfigError: Ray is not installed, or this program uses it already.
            OutputError: There is no cluster at the address, none can be started, or no node has room.
        """
        self._setup = json.dumps(setup)
        self._workers = workers
        self._wants = {"CPU": setup["threads"], "GPU": int(setup["device"] == "cuda")}
        self._starting: dict[Any, _Hired] = {}
        self._idle: list[_Hired] = []
        self._busy: dict[Any, tuple[str, _Hired]] = {}
        self._failed, self._fate, self._told, self._stale = 0, "", False, False
        self._ray = _imported()
        try:
            _connect(self._ray, address, setup["out"])
            options = {"num_cpus": self._wants["CPU"], "num_gpus": self._wants["GPU"]}
            self._actor: Any = self._ray.remote(**options, max_restarts=0, max_task_retries=0)(_RayWorker)
            nodes = self._nodes()
            if not _room(nodes, self._wants):
                hint = "set a smaller run.threads_per_worker, or model.device: cpu"
                raise OutputError(_too_small(nodes, self._wants), hint=hint)
            self._fill()
        except BaseException:
            # Nobody is left to close what did not come about.
            self._ray.shutdown()
            raise

    @property
    def free(self) -> int:
        """How many workers have come up and have nothing to do; a missing one is asked for.

        The nodes are counted here, where there is a unit to submit, and not in `wait`: what stops the command
        may have ended Ray as well, which then answers nothing, and a stopped run only waits.
        """
        if self._stale:
            self._fill()
        return len(self._idle)

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        """Give a unit to a worker, with the outputs that it has not been sent yet."""
        worker = self._idle.pop()
        fresh = {name: output for name, output in outputs.items() if name not in worker.seen}
        worker.seen.update(fresh)
        answer = worker.actor.carry_out.remote(json.dumps(task_message(unit, fresh), allow_nan=False))
        self._busy[answer] = (unit.name, worker)

    def wait(self) -> Done | Waiting:
        """Return the first answer, the news that a worker is lost, or that there is neither yet.

        Raises:
            IncompleteError: All workers are lost, and no living node can hold one or none comes up.
        """
        if not (self._busy or self._starting):
            raise self._over()
        if note := self._late():
            return Waiting(note)
        # Of several that are ready Ray returns the first: short units must not keep a new worker unnoticed.
        ready, _ = self._ray.wait([*self._starting, *self._busy], num_returns=1, timeout=_TICK)
        if not ready:
            self._stale = True
            return Waiting()
        if ready[0] in self._busy:
            return self._ended(ready[0])
        self._came_up(ready[0])
        return Waiting()

    def close(self) -> None:
        """Leave the cluster, which ends the workers."""
        self._ray.shutdown()

    def _nodes(self) -> list[Node]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _count(self) -> int:
        return len(self._starting) + len(self._idle) + len(self._busy)

    def _fill(self) -> None:
        """Has as many workers as are wanted and as the living nodes hold."""
        self._stale = False
        nodes = self._nodes()
        room = min(self._workers, _room(nodes, self._wants))
        # Ray tells of a lost worker only where an answer is awaited: a unit would be tried there in vain.
        alive = {node["NodeID"] for node in nodes}
        self._idle = [worker for worker in self._idle if worker.node in alive]
        while self._starting and self._count() > room:
            _, surplus = self._starting.popitem()
            self._ray.kill(surplus.actor)
        while self._count() < room and self._failed < _STARTS:
            actor = self._actor.remote(self._setup)
            self._starting[actor.node.remote()] = _Hired(actor, time.monotonic())

    def _came_up(self, started: object) -> None:
        worker = self._starting.pop(started)
        try:
            worker.node = self._ray.get(started)
        except self._ray.exceptions.RayError as error:
            self._failed, self._fate, self._stale = self._failed + 1, type(error).__name__, True
            return
        self._failed = 0
        self._idle.append(worker)

    def _ended(self, answer: object) -> Done:
        name, worker = self._busy.pop(answer)
        try:
            told = json.loads(self._ray.get(answer))
        except self._ray.exceptions.RayTaskError as error:
            # The worker lives: what went wrong would go wrong again.
            told = failure(name, error)
        except self._ray.exceptions.RayError as error:
            # It may be out of reach and still hold its place.
            self._ray.kill(worker.actor)
            if isinstance(error, self._ray.exceptions.ActorUnavailableError):
                # Ray counts a node that is gone for some seconds more: the unit would be tried there in vain.
                self._idle = [other for other in self._idle if other.node != worker.node]
            self._stale = True
            return Done(name, lost=type(error).__name__)
        self._idle.append(worker)
        return read_answer(told)

    def _late(self) -> str:
        """Returns what to say of workers that have waited long for a place, once; else an empty string."""
        if not self._starting:
            self._told = False
            return ""
        waited = time.monotonic() - min(worker.since for worker in self._starting.values())
        if self._told or waited < _PATIENCE:
            return ""
        self._told = True
        others = self._count() - len(self._starting)
        goes_on = f"with the {others} that have" if others else "as soon as one has"
        return (
            f"{plural(len(self._starting), 'worker')} found no free place on the Ray cluster within "
            f"{waited:.0f} s (it may be busy with other work, or a node may be gone); "
            f"the run goes on {goes_on}"
        )

    def _over(self) -> IncompleteError:
        nodes = self._nodes()
        if _room(nodes, self._wants):
            return IncompleteError(
                f"no worker comes up on the Ray cluster: {_STARTS} failed one after another ({self._fate})",
                hint="is prime-audit installed on all nodes? Ray's logs say more; the same command continues",
            )
        return IncompleteError(
            f"all workers are lost: {_too_small(nodes, self._wants)}",
            hint="the same command continues once the cluster has its nodes again",
        )


class _RayWorker:
    """A worker as an actor: text in, text out."""

    def __init__(self, setup: str) -> None:
        # The study is opened for the first unit: that the actor is up is known as soon as it is.
        self._setup = setup
        self._worker: Worker | None = None

    def node(self) -> str:
        """Returns the id of the node that it runs on."""
        node: str = importlib.import_module("ray").get_runtime_context().get_node_id()
        return node

    def carry_out(self, task: str) -> str:
        message: Message = json.loads(task)
        try:
            self._worker = self._worker or Worker(json.loads(self._setup))
        except Exception as error:
            return answer_to(message, error)
        return answer_to(message, self._worker)


def _room(nodes: Sequence[Node], wants: Mapping[str, int]) -> int:
    """Returns how many workers living nodes can ever hold; each lies on one node with all that it takes."""
    asked = {name: count for name, count in wants.items() if count}
    return sum(
        min(int(node["Resources"].get(name, 0.0) // count) for name, count in asked.items()) for node in nodes
    )


def _too_small(nodes: Sequence[Node], wants: Mapping[str, int]) -> str:
    """Says what a worker takes and what there is."""
    asked = {name: count for name, count in wants.items() if count}
    wanted = " and ".join(f"{count} {name}" for name, count in asked.items())
    found = "; ".join(
        " and ".join(f"{node['Resources'].get(name, 0.0):g} {name}" for name in asked) for node in nodes
    )
    return f"a worker takes {wanted}, which no node of the Ray cluster has (they have {found or 'nothing'})"


def _imported() -> ModuleType:
    """Returns Ray, unless somebody else in this process has it connected already."""
    try:
        # By name: the types must be clean with Ray and without.
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(
            "run.executor is ray, but Ray is not installed", hint="pip install 'prime-audit[ray]'"
        ) from error
    if ray.is_initialized():
        raise ConfigError(
            "run.executor is ray, but this program is connected to a Ray cluster already; a process has one "
            "connection, and a run makes its own and ends it",
            hint="call ray.shutdown() before the run, run it in a process of its own, or run.executor: local",
        )
    return ray


def _connect(ray: ModuleType, address: str | None, out: str) -> None:
    # Ray would otherwise report its use to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray has its workers import from the current folder first. In the run directory lies nothing to import;
    # in the folder that the command was given in, a file may be called like a library.
    with _handler_kept(signal.SIGTERM), contextlib.chdir(out):
        _start(ray, address)


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


def _start(ray: ModuleType, address: str | None) -> None:
    # Without an address Ray would join a cluster that RAY_ADDRESS or an earlier `ray start` names.
    place = "local" if address is None else address
    try:
        ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None)
    except Exception as error:
        if place != "local" and isinstance(error, ConnectionError | ValueError):
            raise OutputError(
                f"there is no Ray cluster at {printable(place)}",
                hint="start one with `ray start --head`, or leave --address out to start one for this run",
            ) from error
        # Ray has no error of its own for this: a part of it did not come up in time.
        raise OutputError(
            f"Ray could not be started: {printable(str(error), 200)}",
            hint="the machine may be too busy: the same command again, or --executor local",
        ) from error
