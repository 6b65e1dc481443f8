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

    @property
    def layers(self) -> Sequence[str]:
        """The layers that the modules change; weights per layer follow this order."""
        ...

    def rows(self, model: torch.nn.Module, weights: torch.Tensor) -> AbstractContextManager[None]:
        """Applies the modules to every forward pass inside the block.

        Args:
            model: The base model; it is exactly restored when the block ends.
            weights: Merge weights, shape ``(batch rows, modules)`` or ``(batch rows, modules, layers)``.
        """
        ...


def row_context(
    lm: LanguageModel, adapters: RowAdapters | None, weights: NDArray[np.floating] | None, count: int
) -> RowContext:
    """Binds merge weights to the rows of one call.

    Args:
        lm: The model that will run.
        adapters: The modules, or None for the plain model.
        weights: Shape ``(count, modules)``, or ``(count, modules, layers)`` for weights of every layer's own;
            given exactly if ``adapters`` is.
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
    wanted = (count, len(adapters))
    per_layer = (*wanted, len(adapters.layers))
    if weights.shape not in (wanted, per_layer):
        raise ValueError(f"weights have shape {weights.shape}; expected {wanted} or {per_layer}")
    table = torch.tensor(np.asarray(weights), dtype=torch.float32, device=lm.device)
    if not bool(torch.isfinite(table).all()):
        place = (~torch.isfinite(table)).nonzero()[0].tolist()
        raise ValueError(f"merge weights must be finite; the one at {place} is not")
    # Found out now: the probe must not run under adapters.
    _ = lm.plain_head
    return lambda rows: adapters.rows(lm.model, table[list(rows)])
