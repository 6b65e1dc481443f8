"""What a search has measured so far, on disk: a search that was killed goes on where it stopped.

The optimiser itself is not saved. It is made again with the same seed and asked again; each point that it
asks for is checked against the recorded one and told the recorded figures, until the record ends.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime_audit.core import AppendLog
from prime_audit.errors import IncompleteError
from prime_audit.models import Meter, metered

Floats = NDArray[np.float64]
# By name, the figures of one point: per item, or one for all items.
Figures = dict[str, list[float]]
_SAME = 1e-12


class SearchLog:
    """The measured points of one search, in the order in which they were asked for."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier start has measured.

        Args:
            path: The file; it need not exist, but its folder must.

        Raises:
            IncompleteError: The file is damaged.
        """
        self._log = AppendLog(path, remedy="delete this one file: the search begins again, all else is kept")
        self._next = 0

    def measured(self, of: str, points: Floats, measure: Callable[[], list[Figures]]) -> list[Figures]:
        """Return the figures of some points: the recorded ones, or else measured and recorded.

        Args:
            of: What they are measured on; part of what is checked.
            points: Shape ``(m, d)``.
            measure: Measures them.

        Returns:
            One set of figures per point.

        Raises:
            IncompleteError: The record holds other points here.
        """
        if self._next == len(self._log.entries):
            with metered() as spent:
                figures = measure()
            # With what it cost, so that a search that was killed states the same effort.
            entry = {"of": of, "points": points.tolist(), "figures": figures, "tokens": spent.inference}
            self._log.append(entry)
        entry = self._log.entries[self._next]
        self._check(entry["of"] == of, entry["points"], points)
        Meter(inference=entry["tokens"]).charge()
        self._next += 1
        known: list[Figures] = entry["figures"]
        return known

    def _check(self, same_part: bool, recorded: list[list[float]], points: Floats) -> None:
        then = np.asarray(recorded, dtype=np.float64)
        fits = same_part and then.shape == points.shape
        if fits and bool((np.abs(then - points) <= _SAME).all()):
            return
        raise IncompleteError(
            f"{self._log.path}: line {self._next + 1}: the search asks for other points than those recorded",
            hint="the record comes from other settings or another version of nevergrad; delete the file",
        )
