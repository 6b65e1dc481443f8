"""Hands units to an executor as soon as what they need is there, and keeps what comes back."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence

from prime_audit.errors import IncompleteError
from prime_audit.study.circumstances import circumstances_of
from prime_audit.study.executor import Done, Executor, Waiting
from prime_audit.study.journal import Journal
from prime_audit.study.progress import Progress
from prime_audit.study.units import Output, Unit

# How often a unit is tried whose worker dies under it.
TRIES = 3


class Stopped(Exception):
    """The run was asked to stop, and the units in progress are finished and kept.

    Attributes:
        number: The signal that asked for it.
    """

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__("the run was stopped")
        self.number = number


def finished(unit: Unit, journal: Journal) -> bool:
    """Returns whether a unit is journalled and what it left is still there."""
    entry = journal.get(unit.key)
    return entry is not None and intact(unit, entry["output"])


def intact(unit: Unit, output: Output) -> bool:
    """Returns whether what a unit left is there."""
    if unit.kept is not None and not unit.kept.exists():
        return False
    # A method that deploys the plain model leaves no adapter.
    return unit.artefact is None or output.get("adapter", "") is None or unit.artefact.exists()


def run_units(
    units: Sequence[Unit],
    journal: Journal,
    progress: Progress,
    executor: Executor,
    stopping: Callable[[], int] = lambda: 0,
) -> dict[str, Output]:
    """Runs what is not journalled yet.

    Args:
        units: Units in an order in which each comes after what it needs.
        journal: Finished units of this run directory.
        progress: Told of every unit.
        executor: Carries the units out.
        stopping: Returns the signal after which no further unit is begun, or 0.

    Returns:
        The output of every unit by name, in the order of ``units``.

    Raises:
        Stopped: ``stopping`` said so; the units in progress were finished.
        IncompleteError: A unit's worker died each time that it was tried, or there can be no worker any more.
    """
    progress.start(len(units), [unit.name for unit in units])
    schedule = _Schedule(units, journal)
    for name, entry in schedule.kept.items():
        progress.unit(name, float(entry["seconds"]), cached=True)
    failed: Exception | None = None
    while schedule.running or (schedule.ready and not stopping() and failed is None):
        while schedule.ready and not stopping() and failed is None and executor.free:
            unit = schedule.next()
            journal.forget_other(unit.name, unit.key)
            executor.submit(unit, schedule.outputs_before(unit))
        if not schedule.running and stopping():
            # The signal came between the two questions, and there is nothing to wait for.
            break
        done = executor.wait()
        if isinstance(done, Waiting):
            if done.note:
                progress.note(done.note)
            continue
        if done.output is None:
            failed = schedule.failed(done, progress, bool(stopping())) or failed
            continue
        journal.append(schedule.entry(done, done.output))
        progress.unit(done.name, done.seconds, cached=False)
    if failed is not None:
        raise failed
    # Also where it was the last unit that the signal came in: what follows from all units is work too.
    if number := stopping():
        raise Stopped(number)
    return {unit.name: schedule.outputs[unit.name] for unit in units}


class _Schedule:
    """Which units are finished, in progress, ready and waiting."""

    def __init__(self, units: Sequence[Unit], journal: Journal) -> None:
        self._units = {unit.name: unit for unit in units}
        self._place = {unit.name: place for place, unit in enumerate(units)}
        self.outputs: dict[str, Output] = {}
        self.kept: dict[str, Output] = {}
        for unit in units:
            entry = journal.get(unit.key)
            if entry is not None and finished(unit, journal):
                self.kept[unit.name] = entry
                self.outputs[unit.name] = entry["output"]
        self._lacks: dict[str, int] = {}
        self._followers: dict[str, list[str]] = defaultdict(list)
        self.ready: list[int] = []
        self.running: set[str] = set()
        self._losses: dict[str, int] = defaultdict(int)
        self._order = [unit.name for unit in units]
        for unit in units:
            if unit.name not in self.outputs:
                self._enter(unit)

    def _enter(self, unit: Unit) -> None:
        lacking = [name for name in unit.needs if name not in self.outputs]
        self._lacks[unit.name] = len(lacking)
        for name in lacking:
            self._followers[name].append(unit.name)
        if not lacking:
            heapq.heappush(self.ready, self._place[unit.name])

    def next(self) -> Unit:
        """Takes the first ready unit."""
        name = self._order[heapq.heappop(self.ready)]
        self.running.add(name)
        return self._units[name]

    def outputs_before(self, unit: Unit) -> dict[str, Output]:
        """Returns the outputs of all that a unit follows from, and of nothing else."""
        found: dict[str, Output] = {}
        waiting = list(unit.needs)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.outputs[name]
                waiting += self._units[name].needs
        return found

    def entry(self, done: Done, output: Output) -> dict[str, object]:
        """Takes note of a finished unit; returns its line of the journal."""
        self.running.remove(done.name)
        self.outputs[done.name] = output
        for follower in self._followers.pop(done.name, ()):
            self._lacks[follower] -= 1
            if not self._lacks[follower]:
                heapq.heappush(self.ready, self._place[follower])
        unit = self._units[done.name]
        entry = {
            "key": unit.key,
            "unit": unit.name,
            "seconds": done.seconds,
            "output": output,
            "made": circumstances_of(unit),
        }
        return entry | ({"halved": done.halved} if done.halved else {})

    def failed(self, done: Done, progress: Progress, stopping: bool) -> Exception | None:
        """Takes note of a failed try; returns the error unless the unit is tried again, now or later."""
        self.running.remove(done.name)
        if not done.lost:
            return done.error
        self._losses[done.name] += 1
        heapq.heappush(self.ready, self._place[done.name])
        if stopping:
            # Whatever stops the command may have ended its workers too.
            return None
        if self._losses[done.name] == TRIES:
            return IncompleteError(
                f"unit {done.name}: its worker died {TRIES} times ({done.lost})",
                hint="the machine may be short of memory: try fewer run.workers; the same command continues",
            )
        progress.note(f"the worker of {done.name} died ({done.lost}); the unit is tried again")
        return None
