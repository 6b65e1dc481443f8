"""Scores of the records under shadow models: trained alike on random halves of the same users' data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from attacks.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ShadowScores:
    """What M shadow models say about N records.

    A shadow passes through the same merge as the audited module, or its scores are those of another
    distribution than the one that the target's scores are compared with.

    Attributes:
        phi: ``(M, N)`` Mean log-probability per token, in nats.
        keep: ``(M, N)`` True where the shadow was trained on the record.

    Raises:
        ValueError: The arrays have other types or shapes, or a score is not finite.
    """

    phi: FloatArray
    keep: BoolArray

    def __post_init__(self) -> None:
        """Refuses arrays that do not belong together."""
        if self.phi.ndim != 2 or self.phi.dtype != np.float64:
            raise ValueError(f"phi: expected two axes of float64, got {self.phi.ndim} of {self.phi.dtype}")
        if self.keep.shape != self.phi.shape or self.keep.dtype != np.bool_:
            raise ValueError(
                f"keep: expected bool of shape {self.phi.shape}, got {self.keep.dtype} of {self.keep.shape}"
            )
        if not len(self.phi):
            raise ValueError("phi: there is no shadow")
        if not np.isfinite(self.phi).all():
            raise ValueError("phi: holds values that are not finite")

    def __len__(self) -> int:
        """Returns the number of records."""
        return int(self.phi.shape[1])

    def take(self, indices: Sequence[int] | IntArray) -> Self:
        """Returns the records at these positions, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return type(self)(self.phi[:, chosen], self.keep[:, chosen])
