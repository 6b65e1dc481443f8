"""Who is told about a run while it goes on."""

from typing import Final, Protocol


class Progress(Protocol):
    """Told once how much there is to do, then of every finished unit."""

    def start(self, total: int, names: list[str]) -> None:
        """Take note of the plan.

        Args:
            total: Number of units.
            names: Their names, in order.
        """

    def unit(self, name: str, seconds: float, cached: bool) -> None:
        """Take note of a finished unit.

        Args:
            name: The unit.
            seconds: What it took when it was computed.
            cached: True if an earlier start of this run had computed it.
        """

    def note(self, text: str) -> None:
        """Take note of something the user should read.

        Args:
            text: One sentence without user text.
        """


class _NoProgress:
    """Nobody is told."""

    def start(self, total: int, names: list[str]) -> None: ...

    def unit(self, name: str, seconds: float, cached: bool) -> None: ...

    def note(self, text: str) -> None: ...


NO_PROGRESS: Final[Progress] = _NoProgress()
