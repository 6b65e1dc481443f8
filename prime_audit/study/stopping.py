"""Ctrl-C and SIGTERM: the first one lets the units in progress finish, the second one stops at once."""

import contextlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from prime_audit.study.progress import Progress

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Takes note of the first signal while its block runs; after it the earlier handlers stand again.

    Attributes:
        number: The signal that came; 0 if none did.
    """

    def __init__(self, progress: Progress) -> None:
        """Watch nothing yet.

        Args:
            progress: Told that the signal was heard.
        """
        self.number = 0
        self._progress = progress
        self._before: dict[int, Any] = {}

    def __call__(self) -> int:
        """Return the signal that asked the run to stop, or 0."""
        return self.number

    def __enter__(self) -> Self:
        """Watch; in any thread but the main one Python allows no handlers, and signals are left alone."""
        if threading.current_thread() is threading.main_thread():
            # A signal that is ignored (a job in a shell's background) stays ignored.
            self._before = {n: h for n in _NUMBERS if (h := signal.getsignal(n)) is not signal.SIG_IGN}
            for number in self._before:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the earlier handlers back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        # The signal may have come in the middle of another line.
        with contextlib.suppress(RuntimeError):
            self._progress.note("stopping after the unit in progress; once more stops at once")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
