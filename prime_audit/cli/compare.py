"""`prime-audit compare`: two runs side by side."""

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Directory of a finished run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Directory of another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Show two runs side by side, with the difference and its interval where they can be compared."""
    from prime_audit.errors import IncompleteError
    from prime_audit.gate import compare_runs, load_run
    from prime_audit.report import render_comparison
    from prime_audit.results import plain

    left, right = load_run(a), load_run(b)
    for path, run in ((a, left), (b, right)):
        if run.results.status == "cancelled":
            raise IncompleteError(
                f"{path}: this run was stopped before its end, so there is nothing to compare",
                hint="the command that began it continues it",
            )
    found = compare_runs(left, right)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False))
        return
    for line in render_comparison(found, right.results.study.primary):
        typer.echo(line)
