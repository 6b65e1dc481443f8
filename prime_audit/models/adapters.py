"""How scoring and decoding see adapters, without knowing how they are implemented."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.models.language_model import LanguageModel

RowContext = Callable[[Sequence[int]], AbstractContextManager[None]]


class RowAdapters(Protocol):
    """Modules that can be mixed differently in every row of a batch."""

    def __len__(self) -> int:
        """Returns the number of modules."""
        ...

    def rows(self, model: torch.nn.Module, weights: torch.Tensor) -> AbstractContextManager[None]:
        """Applies the modules to every forward pass inside the block.

        Args:
            model: The base model; it is exactly restored when the block ends.
            weights: Merge weights, shape ``(batch rows, modules)``.
        """
        ...


def row_context(
    lm: LanguageModel, adapters: RowAdapters | None, weights: NDArray[np.floating] | None, count: int
) -> RowContext:
    """Binds merge weights to the rows of one call.

    Args:
        lm: The model that will run.
        adapters: The modules, or None for the plain model.
        weights: Shape ``(count, modules)``; given exactly if ``adapters`` is.
        count: Number of rows (prompts or examples) of the call.

    Returns:
        A function from the positions that make up a batch to the context in which that batch must run.

    Raises:
        ValueError: Only one of both was given, or the shape does not fit.
    """
    if adapters is None and weights is None:
        return lambda _rows: nullcontext()
    if adapters is None or weights is None:
        raise ValueError("adapters and weights belong together: give both or neither")
    if weights.shape != (count, len(adapters)):
        raise ValueError(f"weights have shape {weights.shape}; expected {(count, len(adapters))}")
    table = torch.tensor(np.asarray(weights), dtype=torch.float32, device=lm.device)
    if not bool(torch.isfinite(table).all()):
        raise ValueError("merge weights must be finite")
    # Found out now: the probe must not run under adapters.
    _ = lm.plain_head
    return lambda rows: adapters.rows(lm.model, table[list(rows)])
