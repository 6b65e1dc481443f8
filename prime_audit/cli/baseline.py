"""`prime-audit baseline update`: make the file that later runs are compared with."""

from pathlib import Path
from typing import Annotated

import typer

from prime_audit.cli.check import RulesOption, rules_of
from prime_audit.cli.terminal import Terminal

app = typer.Typer(
    help="Make or change the file that later runs are compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _baseline() -> None:
    """Make or change the file that later runs are compared with."""


@app.command()
def update(
    ctx: typer.Context,
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Finished runs that differ in training.seed alone.")
    ],
    to: Annotated[Path, typer.Option("--to", help="The baseline file.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is made or changed; kept in the file.")],
    rules: RulesOption = None,
) -> None:
    """Keep what later runs are compared with.

    That is, the figures that the gate's rules compare and the scores of single records. Runs of five training
    seeds or more let the gate tell a change from chance in training.
    """
    from prime_audit.errors import DataError
    from prime_audit.gate import load_run, make_baseline, read_baseline, write_baseline

    terminal: Terminal = ctx.obj
    earlier = read_baseline(to) if to.exists() else None
    if not to.resolve().parent.is_dir():
        raise DataError(f"{to.parent}: no such folder", hint="make it first")
    made = make_baseline([load_run(run) for run in runs], rules_of(runs[0], rules), reason, earlier)
    write_baseline(to, made)
    old = earlier.means() if earlier is not None else {}
    for name, value in made.means().items():
        was = f"{old[name]:.4f} -> " if name in old else ""
        terminal.say(f"{name}: {was}{value:.4f}")
    terminal.say(f"written: {to} ({len(made.runs)} of at least 5 training seeds)")
