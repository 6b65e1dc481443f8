"""Wires the commands together and turns every end of a command into an exit code."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer

from prime_audit import __version__
from prime_audit.cli import (
    attack,
    baseline,
    check,
    compare,
    data,
    evaluate,
    init,
    personalize,
    report,
    schema,
    validate,
)
from prime_audit.cli import list as listing
from prime_audit.cli.terminal import Terminal
from prime_audit.errors import PrimeAuditError

_STOPPED = {130: "Ctrl-C", 143: "SIGTERM"}

app = typer.Typer(
    help="Audit what personalising a language model by merging shared LoRA modules buys and gives away.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(evaluate.evaluate)
app.command()(personalize.personalize)
app.command()(attack.attack)
app.command()(check.check)
app.add_typer(baseline.app, name="baseline")
app.command()(compare.compare)
app.command()(report.report)
app.command()(init.init)
app.command()(validate.validate)
app.command()(schema.schema)
app.add_typer(data.app, name="data")
app.command(name="list")(listing.list_known)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code.

    Args:
        args: The words after the program's name; those of this process by default.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(args))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prime-audit {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    ctx.obj.quiet = quiet
    ctx.obj.debug = debug
    if not debug and not sys.warnoptions:
        # What libraries announce to their developers is of no use to someone who reads a progress line.
        for category in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", category)


def _run(args: Sequence[str] | None) -> int:
    terminal = Terminal()
    try:
        app(args, obj=terminal, prog_name="prime-audit")
    except SystemExit as stop:
        # Typer leaves every command this way; its own codes are 2 for wrong usage and 130 for Ctrl-C.
        code = stop.code if isinstance(stop.code, int) else 0
        if code in _STOPPED:
            reason = f"stopped by {_STOPPED[code]}"
            terminal.say(f"{reason}; {terminal.when_stopped}")
    except PrimeAuditError as error:
        terminal.complain(str(error), error.hint)
        code = error.exit_code
    except Exception as error:
        from prime_audit.core import unexpected

        told = unexpected(error, "" if terminal.debug else _DEBUG_HINT)
        terminal.complain(str(told), told.hint)
        code = told.exit_code
    return code if _flushed() else 1


_DEBUG_HINT = "this is a fault in the program: `prime-audit --debug ...` shows the traceback"


def _flushed() -> bool:
    """Flush stdout; a reader that has gone away is no reason for a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)
