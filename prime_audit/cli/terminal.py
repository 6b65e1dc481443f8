"""What the command line says, and where: prose on stderr, answers on stdout."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from prime_audit.study.progress import Progress

_LONGEST_LINE = 500


@dataclass
class Terminal:
    """The global options, and the voice that follows them.

    Attributes:
        quiet: Say nothing but errors.
        debug: Show the traceback of an error.
        when_stopped: What is left of the work when the command is stopped.
    """

    quiet: bool = False
    debug: bool = False
    when_stopped: str = "what was finished is kept, and the same command continues"

    def say(self, text: str) -> None:
        """Print one line of prose on stderr, unless quiet.

        Args:
            text: The line.
        """
        if not self.quiet:
            typer.echo(_clean(text), err=True)

    def complain(self, message: str, hint: str = "") -> None:
        """Print an error on stderr, with what to do about it, and the traceback where it was asked for.

        Args:
            message: What happened; it may have several lines.
            hint: What the reader can do.
        """
        if self.debug:
            typer.echo(traceback.format_exc(), err=True)
        color = False if os.environ.get("NO_COLOR") else None
        typer.secho(f"error: {_clean(message)}", fg=typer.colors.RED, err=True, color=color)
        if hint:
            typer.echo(f"hint: {_clean(hint)}", err=True)

    @contextmanager
    def progress(self) -> "Iterator[Progress]":
        """Show progress in the form that suits where stderr goes.

        Yields:
            A bar on a terminal, plain lines elsewhere and in continuous integration, nothing when quiet.
        """
        from prime_audit.cli.progress import PlainProgress, bar_progress

        if self.shows_bars:
            with bar_progress() as bar:
                yield bar
        else:
            yield PlainProgress(self.say)

    @property
    def shows_bars(self) -> bool:
        """Whether stderr is a terminal that somebody watches."""
        return not self.quiet and sys.stderr.isatty() and not os.environ.get("CI")

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return self.shows_bars and sys.stdin.isatty()


def _clean(text: str) -> str:
    """Keep line breaks and drop whatever else could steer a terminal."""
    from prime_audit.core.sanitise import printable

    lines = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip(" "))]
        lines.append(indent + printable(line, _LONGEST_LINE))
    return "\n".join(lines)
