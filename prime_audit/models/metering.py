"""Counts the tokens that pass through language models, so that methods can be compared at equal effort."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch


@dataclass
class Meter:
    """Tokens that were read or written, padding left out; a row of a batch that has ended may add a few.

    Attributes:
        inference: Tokens without gradients: prompts, answers, scored texts, embedded texts.
        training: Tokens of forward passes that gradients were taken of.
    """

    inference: int = 0
    training: int = 0

    def charge(self) -> None:
        """Adds these tokens to the meter that runs now, if one does."""
        meter = _running.get()
        if meter is not None:
            meter.inference += self.inference
            meter.training += self.training


_running: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Counts the tokens of what runs inside; a meter around it does not count them, unless it is charged.

    Yields:
        The meter.
    """
    meter = Meter()
    token = _running.set(meter)
    try:
        yield meter
    finally:
        _running.reset(token)


def count_fed(mask: torch.Tensor, new: int) -> None:
    """Counts one forward pass.

    Args:
        mask: Boolean attention mask ``(rows, cached + new tokens)``.
        new: How many of its last columns are new.
    """
    meter = _running.get()
    if meter is None:
        return
    fed = int(mask[:, -new:].sum())
    if torch.is_grad_enabled():
        meter.training += fed
    else:
        meter.inference += fed
