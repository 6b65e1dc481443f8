"""A stand-in for Ray: nodes with CPUs, actors that wait for a place, calls that end when waited for."""

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from prime_audit.study import ray_workers


class RayError(Exception): ...


class ActorDiedError(RayError): ...


class ActorUnavailableError(RayError): ...


class RayTaskError(RayError): ...


class Actor:
    """An actor; it has a node once there was a place for it."""

    def __init__(self, ray: "FakeRay", kind: Callable[..., Any], arguments: Sequence[object]) -> None:
        self.ray, self.kind, self.arguments = ray, kind, arguments
        self.on = ""
        self.dead = False
        self.fate: type[RayError] = ActorDiedError
        self.instance: Any = None

    def __getattr__(self, method: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *given: Call(self, method, given))


class Call:
    """What a call of an actor's method returns at once."""

    def __init__(self, actor: Actor, method: str, given: Sequence[Any]) -> None:
        self.actor, self.method, self.given = actor, method, given

    def ready(self) -> bool:
        works = self.method == "carry_out" and self.actor.ray.now < self.actor.ray.busy_until
        return self.actor.dead or (bool(self.actor.on) and not works)

    def result(self) -> object:
        actor = self.actor
        if actor.dead:
            raise actor.fate
        actor.ray.current = actor
        try:
            actor.instance = actor.instance or actor.kind(*actor.arguments)
            value = getattr(actor.instance, self.method)(*self.given)
        except Exception as error:
            raise RayTaskError(str(error)) from error
        if actor.dead:
            raise actor.fate
        return value


class FakeRay:
    """The part of Ray that `ray_workers` uses.

    Attributes:
        cpus: What each living node has.
        taken: What others' jobs take of it.
        actors: All that were ever asked for.
        most: How many actors lived at most.
        broken: For each actor that gets a place next, whether it dies there at once.
        address: What `init` was given.
        busy_until: When the units that are in progress can have ended.
        events: Told of the time at each wait; what it does happens meanwhile.
    """

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, ActorUnavailableError=ActorUnavailableError
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **cpus: int) -> None:
        self.cpus = cpus
        self.taken: dict[str, int] = {}
        self.gone: dict[str, int] = {}
        self.actors: list[Actor] = []
        self.most = 0
        self.broken: list[bool] = []
        self.initialized = False
        self.shutdowns = 0
        self.address: str | None = None
        self.error: Exception | None = None
        self.now = self.busy_until = 0.0
        self.current: Actor | None = None
        self.events: Callable[[float], None] = lambda now: None
        monkeypatch.setitem(sys.modules, "ray", self)
        monkeypatch.setattr(ray_workers, "time", SimpleNamespace(monotonic=lambda: self.now))

    def init(self, address: str | None = None, **options: object) -> None:
        self.address = address
        if self.error is not None:
            raise self.error
        self.initialized = True

    def is_initialized(self) -> bool:
        return self.initialized

    def shutdown(self) -> None:
        self.initialized = False
        self.shutdowns += 1

    def nodes(self) -> list[dict[str, Any]]:
        alive = [(name, count, True) for name, count in self.cpus.items()]
        gone = [(name, count, False) for name, count in self.gone.items()]
        return [
            {"NodeID": name, "Alive": lives, "Resources": {"CPU": float(count)}}
            for name, count, lives in alive + gone
        ]

    def remote(self, **options: int) -> Callable[[Callable[..., Any]], Any]:
        def actor_of(kind: Callable[..., Any]) -> SimpleNamespace:
            def ask(*arguments: object) -> Actor:
                assert len(self.actors) < 100, "workers are asked for without end"
                self.actors.append(Actor(self, kind, arguments))
                self.most = max(self.most, sum(not actor.dead for actor in self.actors))
                return self.actors[-1]

            return SimpleNamespace(remote=ask)

        return actor_of

    def wait(self, calls: Sequence[Call], num_returns: int, timeout: float) -> tuple[list[Call], list[Call]]:
        assert calls, "Ray has nothing to wait for"
        assert self.now < 1000, "the run hangs"
        self.events(self.now)
        self._place()
        ready = [call for call in calls if call.ready()][:num_returns]
        self.now += 0.0 if ready else timeout
        return ready, [call for call in calls if call not in ready]

    def get(self, call: Call) -> object:
        return call.result()

    def kill(self, actor: Actor) -> None:
        actor.dead = True

    def get_runtime_context(self) -> SimpleNamespace:
        assert self.current is not None
        return SimpleNamespace(get_node_id=lambda: self.current and self.current.on)

    def lose(self, node: str) -> None:
        """A node goes, and its actors with it."""
        self.gone[node] = self.cpus.pop(node)
        for actor in self.actors:
            actor.dead = actor.dead or actor.on == node

    def lose_unnoticed(self, node: str) -> None:
        """A node goes, and Ray counts it among the living for some time more."""
        for actor in self.living():
            if actor.on == node:
                actor.dead, actor.fate = True, ActorUnavailableError
        self.taken[node] = self.cpus[node]

    def living(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.dead]

    def _place(self) -> None:
        for actor in self.actors:
            for node, cpus in self.cpus.items():
                held = sum(other.on == node for other in self.living()) + self.taken.get(node, 0)
                if not (actor.dead or actor.on) and held < cpus:
                    actor.on = node
                    actor.dead = bool(self.broken) and self.broken.pop(0)
