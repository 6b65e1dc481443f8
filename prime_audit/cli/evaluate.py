"""`prime-audit evaluate`: personalise, measure, attack, judge, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.options import (
    DataOption,
    SeedOption,
    SetOption,
    SharersOption,
    StudyArgument,
    with_sharers,
)
from prime_audit.cli.terminal import Terminal
from prime_audit.errors import GateFailure, IncompleteError

if TYPE_CHECKING:
    from prime_audit.config import StudyConfig
    from prime_audit.gate import Gate
    from prime_audit.results import Results


def evaluate(
    ctx: typer.Context,
    study: StudyArgument = "quickstart",
    data: DataOption = None,
    sharers: SharersOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory.  [default: reports/<study name>]")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again instead of continuing the run in the directory.")
    ] = False,
    no_fail: Annotated[
        bool, typer.Option("--no-fail", help="Exit 0 although a rule of the gate is broken.")
    ] = False,
    include_samples: Annotated[
        bool,
        typer.Option("--include-samples", help="Keep the models' answers in predictions/, for you alone."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json on stdout.")] = False,
) -> None:
    """Run a study: personalise, measure, attack, report.

    The same command again continues what was stopped, or answers from the finished run.
    """
    from prime_audit.api import run_directory
    from prime_audit.config import load_study
    from prime_audit.core import make_private_dir

    terminal: Terminal = ctx.obj
    settings = with_sharers(overrides, sharers)
    if include_samples:
        settings.append("report.include_samples=true")
    config = load_study(study, settings, seed, data)
    run_dir = make_private_dir(run_directory(config, out))
    terminal.say(f"{config.name}: task {config.task}, seed {config.seed}, results go to {run_dir}")
    results, gate = _evaluate(terminal, config, run_dir, fresh)
    if as_json:
        typer.echo((run_dir / "results.json").read_text(encoding="utf-8"), nl=False)
    _raise_verdict(results, gate, no_fail)


def _evaluate(
    terminal: Terminal, config: "StudyConfig", run_dir: Path, fresh: bool
) -> "tuple[Results, Gate | None]":
    from prime_audit import api
    from prime_audit.cli.outputs import write_outputs
    from prime_audit.gate import judge, write_gate
    from prime_audit.report import render_console

    with terminal.progress() as progress:
        results = api.evaluate(config, run_dir, fresh=fresh, progress=progress)
    gate = judge(results, config.gate.rules) if config.gate.rules else None
    if gate is None:
        (run_dir / "gate.json").unlink(missing_ok=True)
    else:
        write_gate(run_dir / "gate.json", gate)
    write_outputs(run_dir, results, gate)
    for line in render_console(results, gate, run_dir):
        terminal.say(line)
    return results, gate


def _raise_verdict(results: "Results", gate: "Gate | None", no_fail: bool) -> None:
    """Turn a broken run or a broken rule into the error that carries its exit code."""
    failed = [gap.id for gap in results.coverage.failed]
    failed += [f"{metric.method} {metric.id}" for metric in results.metrics if metric.status == "error"]
    if results.status != "complete" or failed:
        what = f": {', '.join(failed[:5])}" if failed else ""
        raise IncompleteError(f"the run is {results.status} and proves nothing about what is missing{what}")
    if gate is None or gate.verdict == "pass":
        return
    broken = [rule for rule in gate.rules if rule.verdict == gate.verdict]
    count = f"{len(broken)} of {len(gate.rules)} rules"
    if gate.verdict == "error":
        raise IncompleteError(
            f"the gate could not be judged: {count}: {broken[0].metric}: {broken[0].reason}"
        )
    if not no_fail:
        text = f"the gate failed: {count} broken: {broken[0].metric}: {broken[0].reason}"
        raise GateFailure(text, hint="report.html lists every rule; --no-fail reports without failing")
