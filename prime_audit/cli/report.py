"""`prime-audit report`: write the report of a finished run again."""

from pathlib import Path
from typing import Annotated

import typer

from prime_audit.cli.terminal import Terminal


def report(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory that holds a results.json.")],
) -> None:
    """Write the report of a finished run again.

    report.html, summary.md and junit.xml are written from results.json, manifest.json and gate.json.
    """
    from prime_audit.cli.outputs import write_outputs
    from prime_audit.errors import DataError
    from prime_audit.gate import read_gate
    from prime_audit.results import read_run_results

    terminal: Terminal = ctx.obj
    if not run.is_dir():
        raise DataError(f"{run}: no such run directory", hint="`prime-audit evaluate` makes one")
    results = read_run_results(run)
    gate = read_gate(run / "gate.json") if (run / "gate.json").exists() else None
    for path in write_outputs(run, results, gate):
        terminal.say(f"written: {path}")
