"""`prime-audit evaluate`: personalise, measure, attack, judge, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.check import BaselineOption
from prime_audit.cli.judging import check_look, judge_and_write, raise_verdict
from prime_audit.cli.options import (
    DataOption,
    SeedOption,
    SetOption,
    SharersOption,
    StudyArgument,
    carried_out,
    with_sharers,
)
from prime_audit.cli.terminal import Terminal

if TYPE_CHECKING:
    from prime_audit.config import StudyConfig
    from prime_audit.gate import Baseline, Gate
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
    baseline: BaselineOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again instead of continuing the run in the directory.")
    ] = False,
    reuse: Annotated[
        Path | None,
        typer.Option("--reuse", metavar="RUN", help="Take from another run what would come out alike."),
    ] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", help="Where the work is done: local or ray.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="How many processes work at a time.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="The Ray cluster, such as auto; without it one is started here."),
    ] = None,
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
    from prime_audit.core import RUN_MARKS, make_private_dir, refuse_foreign, refuse_if_held

    terminal: Terminal = ctx.obj
    settings = with_sharers(overrides, sharers)
    settings += carried_out(executor, workers, address)
    if include_samples:
        settings.append("report.include_samples=true")
    config = load_study(study, settings, seed, data)
    refuse_if_held(run_directory(config, out))
    refuse_foreign(run_directory(config, out), RUN_MARKS)
    from prime_audit.errors import ConfigError
    from prime_audit.gate import read_baseline

    check_look(config)
    # A baseline that cannot be read is better known before hours of work than after them.
    against = read_baseline(baseline) if baseline is not None else None
    if against is not None and not config.gate.rules:
        raise ConfigError(
            f"{study}: the study has no rules, so nothing would be compared with the baseline",
            hint="add gate.rules to it, or run `prime-audit check RUN --baseline FILE --rules FILE` after it",
        )
    run_dir = make_private_dir(run_directory(config, out))
    terminal.say(f"{config.name}: task {config.task}, seed {config.seed}, results go to {run_dir}")
    results, gate = _evaluate(terminal, config, run_dir, against, fresh=fresh, reuse=reuse)
    if as_json:
        typer.echo((run_dir / "results.json").read_text(encoding="utf-8"), nl=False)
    raise_verdict(results, gate, no_fail=no_fail)


def _evaluate(
    terminal: Terminal,
    config: "StudyConfig",
    run_dir: Path,
    baseline: "Baseline | None",
    *,
    fresh: bool,
    reuse: Path | None,
) -> "tuple[Results, Gate | None]":
    from prime_audit import api
    from prime_audit.gate import load_run
    from prime_audit.report import render_console

    with terminal.progress() as progress:
        results = api.evaluate(config, run_dir, fresh=fresh, reuse=reuse, progress=progress)
    gate = judge_and_write(run_dir, load_run(run_dir), config.gate.rules, baseline)
    for line in render_console(results, gate, run_dir):
        terminal.say(line)
    return results, gate
