"""The two ways to show progress: a bar on a terminal, one plain line per unit elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class PlainProgress:
    """One line per computed unit; units taken over from an earlier start are counted, not listed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Start without a plan.

        Args:
            say: Prints one line.
        """
        self._say = say
        self._total = 0
        self._done = 0
        self._reused = 0

    def start(self, total: int, names: list[str]) -> None:
        """Say how much there is to do."""
        self._total = total
        self._say(f"{total} units of work")

    def unit(self, name: str, seconds: float, cached: bool) -> None:
        """Say which unit is finished."""
        self._done += 1
        if cached:
            self._reused += 1
        else:
            self._say_reused()
            self._say(f"[{self._done}/{self._total}] {name} {seconds:.1f} s")
        if self._done == self._total:
            self._say_reused()

    def note(self, text: str) -> None:
        """Say what the user should read."""
        self._say(f"note: {text}")

    def _say_reused(self) -> None:
        if self._reused:
            self._say(f"{self._reused} finished units are reused")
            self._reused = 0


class BarProgress:
    """One bar that counts units, with the name of the last finished one."""

    def __init__(self, bar: "RichProgress") -> None:
        """Show progress on a running bar.

        Args:
            bar: A started bar of rich.
        """
        self._bar = bar
        self._task: TaskID = bar.add_task("preparing", total=None)

    def start(self, total: int, names: list[str]) -> None:
        """Set the length of the bar."""
        self._bar.update(self._task, total=total)

    def unit(self, name: str, seconds: float, cached: bool) -> None:
        """Move the bar by one unit."""
        self._bar.update(self._task, advance=1, description=name)

    def note(self, text: str) -> None:
        """Print above the bar what the user should read."""
        self._bar.console.print(f"note: {text}", markup=False, highlight=False)


@contextmanager
def byte_progress(
    say: Callable[[str], None], bars: bool
) -> Iterator[Callable[[str], Callable[[int, int | None], None]]]:
    """Show how much of each file has arrived while the block runs.

    Args:
        say: Prints one line.
        bars: Whether to draw bars; else every tenth of a file is one line.

    Yields:
        What makes of a file's name that which is told of its bytes.
    """
    if not bars:
        yield lambda name: _ByteLines(say, name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def started(name: str) -> Callable[[int, int | None], None]:
            task = bar.add_task(name, total=None)
            return lambda done, whole: bar.update(task, completed=done, total=whole)

        yield started


class _ByteLines:
    """One line per tenth of a file, and per 100 MB where its length is not known; none for less than 1 MB."""

    def __init__(self, say: Callable[[str], None], name: str) -> None:
        self._say = say
        self._name = name
        self._next = 0

    def __call__(self, done: int, whole: int | None) -> None:
        if done >= self._next and (whole is None or whole >= 1_000_000):
            of = f" of {whole / 1e6:.1f}" if whole else ""
            self._say(f"{self._name}: {done / 1e6:.1f}{of} MB")
            self._next = done + (max(whole // 10, 1) if whole else 100_000_000)


@contextmanager
def bar_progress() -> Iterator[BarProgress]:
    """Show a bar on stderr while the block runs.

    Yields:
        What moves it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar)
