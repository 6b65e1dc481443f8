"""What carries out units: one protocol, and its simplest form, which works in this process."""

import time
from dataclasses import dataclass
from typing import Protocol

import torch

from prime_audit.core import Seeds
from prime_audit.models import Batching
from prime_audit.study.units import Output, Outputs, Unit


@dataclass(frozen=True)
class Done:
    """How one try at a unit ended: with an output, an error of its own, or the loss of its worker.

    Attributes:
        name: The unit.
        output: What it returned.
        seconds: What it took.
        error: Why it failed.
        halved: How many batches did not fit into memory and were halved.
        lost: What became of the worker that had it; an empty string if the worker lives.
    """

    name: str
    output: Output | None = None
    seconds: float = 0.0
    error: Exception | None = None
    halved: int = 0
    lost: str = ""


@dataclass(frozen=True)
class Waiting:
    """No unit has ended yet, and how many the executor takes may have changed.

    Attributes:
        note: What the user should read of it, one sentence; an empty string if nothing.
    """

    note: str = ""


class Executor(Protocol):
    """Carries out units whose needs are met; in which order they end is its own affair."""

    @property
    def free(self) -> int:
        """How many more units it takes now; asked where there is one to submit.

        Where it is 0 though none was submitted, `wait` brings a change.
        """

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        """Take a unit.

        Args:
            unit: The unit; `free` is at least 1.
            outputs: Outputs of the units that it follows from.
        """

    def wait(self) -> Done | Waiting:
        """Return how some submitted unit ended, or after a short while that none has."""

    def close(self) -> None:
        """Stop at once, whatever is going on."""


class InProcess:
    """One unit after another, in this process."""

    def __init__(self, seeds: Seeds, batching: Batching) -> None:
        """Take what the units share.

        Args:
            seeds: Each unit's own stream comes from them.
            batching: Of the study's models.
        """
        self._seeds = seeds
        self._batching = batching
        self._next: tuple[Unit, Outputs] | None = None

    @property
    def free(self) -> int:
        """One, unless a unit waits to be carried out."""
        return int(self._next is None)

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        """Take a unit; it runs in `wait`."""
        self._next = (unit, outputs)

    def wait(self) -> Done:
        """Carry the unit out."""
        if self._next is None:
            raise ValueError("no unit was submitted")
        (unit, outputs), self._next = self._next, None
        return carry_out_unit(unit, outputs, self._seeds, self._batching)

    def close(self) -> None:
        """There is nothing to stop."""


def carry_out_unit(unit: Unit, outputs: Outputs, seeds: Seeds, batching: Batching) -> Done:
    """Carries out one unit, with torch's generator seeded for it and put back afterwards.

    Args:
        unit: The unit.
        outputs: Outputs of the units that it follows from.
        seeds: The study's seeds.
        batching: Of the study's models.

    Returns:
        How it ended.
    """
    started, before = time.perf_counter(), batching.halved
    with torch.random.fork_rng():
        torch.manual_seed(seeds.integer("unit", unit.name))
        try:
            output = unit.run(outputs)
        except Exception as error:
            return Done(unit.name, error=error)
    seconds = round(time.perf_counter() - started, 3)
    return Done(unit.name, output, seconds, halved=batching.halved - before)
