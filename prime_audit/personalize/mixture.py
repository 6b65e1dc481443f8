"""The space that a search moves in: one merge weight per sharer, or one per sharer and layer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod, Space
from prime_audit.modules import AdapterBank, LoraModule, export, gram

Floats = NDArray[np.float64]


class Mixture:
    """The selected sharers' modules, merged in one space with weights of one shape.

    Attributes:
        modules: The modules, most similar sharer first.
        bank: The same modules as rows of a batch mix them.
        space: ``exact`` or ``factor``.
        layers: Number of layers with weights of their own; 1 if all layers share one weight.
    """

    def __init__(self, modules: Sequence[LoraModule], space: Space, *, per_layer: bool = False) -> None:
        """Stacks the modules.

        Args:
            modules: At least one; all change the same layers.
            space: ``exact``: the sum of w s B A; ``factor``: the product of the summed factors.
            per_layer: One weight per sharer and layer instead of one per sharer.
        """
        self.modules = tuple(modules)
        self.space = space
        self.bank = AdapterBank(self.modules, space=space)
        self.layers = len(self.bank.layers) if per_layer else 1

    @property
    def dimension(self) -> int:
        """Number of weights that a candidate has."""
        return len(self.modules) * self.layers

    def base(self) -> Floats:
        """Returns the bank's weights of the base, as one row."""
        return self.bank_weights(np.zeros((1, self.dimension)))

    def sharers_alone(self) -> Floats:
        """Returns the bank's weights of each sharer alone, as rows."""
        return self.bank_weights(np.repeat(np.eye(len(self.modules)), self.layers, axis=1))

    def spread(self, per_sharer: Sequence[float]) -> Floats:
        """Returns the candidate that gives every layer of a sharer the same weight."""
        return np.repeat(np.asarray(per_sharer, dtype=np.float64), self.layers)

    def bank_weights(self, candidates: Floats) -> Floats:
        """Returns candidates in the shape that the bank takes: ``(m, sharers)`` or with layers last."""
        if self.layers == 1:
            return candidates
        return candidates.reshape(len(candidates), len(self.modules), self.layers)

    def export(self, candidate: Floats) -> LoraModule:
        """Returns the merge of one candidate as one module without any sharer's factors in it."""
        return export(self.modules, self.bank_weights(candidate[None])[0], space=self.space)

    def own_share(self, candidate: Floats) -> tuple[float, ...]:
        """Returns how much of each sharer's own change the merge holds, averaged over layers.

        In factor space a sharer's own product has the weight squared, so its sign is lost.
        """
        weights = candidate.reshape(len(self.modules), self.layers)
        held = weights**2 if self.space == "factor" else weights
        return tuple(float(weight) for weight in held.mean(axis=1))

    def norms(self, candidates: Floats) -> Floats:
        """Returns the Frobenius norm of the merged change per candidate, shape ``(m,)``."""
        if self.space == "exact":
            inner = gram(self.modules, per_layer=True)
            weights = candidates.reshape(len(candidates), len(self.modules), self.layers)
            weights = np.broadcast_to(weights, (*weights.shape[:2], len(inner)))
            squares = np.einsum("mil,lij,mjl->m", weights, inner, weights)
            norms: Floats = np.sqrt(np.maximum(squares, 0.0))
            return norms
        return np.array([self.export(candidate).norm() for candidate in candidates])


def mixture_of(modules: Sequence[LoraModule], settings: PrimeMethod) -> Mixture:
    """Returns the space that a method's settings ask for."""
    return Mixture(modules, settings.space, per_layer=settings.per_layer)
