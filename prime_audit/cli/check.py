"""`prime-audit check`: judge a finished run again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.terminal import Terminal

if TYPE_CHECKING:
    from prime_audit.config import GateRule

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a finished run.")]
BaselineOption = Annotated[
    Path | None, typer.Option("--baseline", help="Baseline to compare with, from `baseline update`.")
]
RulesOption = Annotated[
    Path | None, typer.Option("--rules", help="YAML list of rules, in place of the study's.")
]


def check(
    ctx: typer.Context,
    run: RunArgument,
    baseline: BaselineOption = None,
    rules: RulesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print gate.json on stdout.")] = False,
) -> None:
    """Judge a finished run: limits, and changes from a baseline.

    Writes gate.json and the reports. Exit code 0: passed, 3: failed, 4: could not be judged.
    """
    from prime_audit.cli.judging import judge_and_write, raise_verdict
    from prime_audit.errors import ConfigError
    from prime_audit.gate import load_run, read_baseline
    from prime_audit.report import render_gate

    terminal: Terminal = ctx.obj
    found = load_run(run)
    against = read_baseline(baseline) if baseline is not None else None
    asked = rules_of(run, rules)
    if not asked:
        raise ConfigError(
            f"{run}: the study has no rules, so nothing can be checked", hint="name some with --rules FILE"
        )
    gate = judge_and_write(run, found, asked, against)
    if gate is not None:
        for line in render_gate(gate):
            terminal.say(line)
    if as_json:
        typer.echo((run / "gate.json").read_text(encoding="utf-8"), nl=False)
    raise_verdict(found.results, gate)


def rules_of(run: Path, rules: Path | None) -> "tuple[GateRule, ...]":
    """Return the rules of a file, or else those of the study that a run was made from.

    Args:
        run: The run directory.
        rules: The rules file, if one was named.

    Returns:
        The rules.

    Raises:
        ConfigError: The file, or the run's copy of the study, cannot be used.
    """
    from prime_audit.config import load_rules, load_study

    if rules is not None:
        return load_rules(rules).rules
    resolved = run / "config.resolved.yaml"
    return load_study(resolved).gate.rules if resolved.is_file() else ()
