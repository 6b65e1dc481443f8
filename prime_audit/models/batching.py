"""Batches of a size that is fixed beforehand, halved only where memory does not hold one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from prime_audit.core import ran_out_of_memory
from prime_audit.errors import ModelError

_Result = TypeVar("_Result")


@dataclass
class Batching:
    """How much is computed at once, and how often that was too much.

    Attributes:
        tokens: Most tokens in a batch, padding included; labels and continuations take twice as many.
        halved: How many batches did not fit into memory and were halved.
    """

    tokens: int = 4096
    halved: int = 0

    def carry_out(
        self, batches: Sequence[Sequence[int]], run: Callable[[list[int]], _Result]
    ) -> Iterator[tuple[list[int], _Result]]:
        """Computes batch by batch; one that memory does not hold is halved until it does.

        Args:
            batches: Positions of what is computed together.
            run: Computes one batch.

        Yields:
            The positions that were computed together, and what came of them, in the order of ``batches``.

        Raises:
            ModelError: A single sequence does not fit.
        """
        waiting = [list(batch) for batch in reversed(batches)]
        while waiting:
            batch = waiting.pop()
            try:
                result = run(batch)
            except (RuntimeError, MemoryError) as error:
                if not ran_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise ModelError(
                        "one sequence alone does not fit into memory",
                        hint="set a smaller training.max_tokens, fewer run.workers, or another model.device",
                    ) from error
            else:
                yield batch, result
                continue
            # Outside of the handler, so that nothing of the failed try is held any more.
            self.halved += 1
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            middle = len(batch) // 2
            waiting += [batch[middle:], batch[:middle]]


@contextmanager
def fits_or_says(what: str, hint: str) -> Iterator[None]:
    """Names what did not fit into memory where nothing can be halved; it also decorates functions.

    Args:
        what: What the block does, such as ``training``.
        hint: Which settings make it smaller.

    Raises:
        ModelError: Memory does not hold it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise ModelError(f"{what} does not fit into memory", hint=hint) from error
