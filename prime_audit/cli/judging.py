"""What `evaluate` and `check` share: judging a run, writing what follows, and the exit code."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prime_audit.errors import GateFailure, IncompleteError, OutputError

if TYPE_CHECKING:
    from prime_audit.config import StudyConfig
    from prime_audit.gate import Baseline, Gate, Rule, Run
    from prime_audit.results import Results


def check_look(config: "StudyConfig") -> None:
    """Refuse a stylesheet before the work, and not after it.

    Args:
        config: The study.

    Raises:
        ConfigError: The report could not be written with it.
    """
    if config.report.stylesheet is not None:
        from prime_audit.report import checked_stylesheet

        checked_stylesheet(config.report.stylesheet)


def judge_and_write(
    run_dir: Path, run: "Run", rules: "Sequence[Rule]", baseline: "Baseline | None"
) -> "Gate | None":
    """Judge a run and write gate.json, the reports, and the summary page of a build on GitHub.

    Args:
        run_dir: The run directory.
        run: What the gate reads of it.
        rules: The rules; without any there is no gate.
        baseline: What the run is compared with.

    Returns:
        The gate.

    Raises:
        PrimeAuditError: The rules contradict one another, or a file cannot be written.
    """
    from prime_audit.cli.outputs import write_outputs
    from prime_audit.gate import judge, write_gate

    gate = judge(run, rules, baseline) if rules else None
    if gate is None:
        (run_dir / "gate.json").unlink(missing_ok=True)
    else:
        write_gate(run_dir / "gate.json", gate)
    write_outputs(run_dir, run.results, gate)
    _append_summary(run_dir / "summary.md")
    return gate


def raise_verdict(results: "Results", gate: "Gate | None", *, no_fail: bool = False) -> None:
    """Turn a broken run or a broken rule into the error that carries its exit code.

    Args:
        results: What the run found.
        gate: The verdict of the gate, where rules were judged.
        no_fail: Whether a broken rule is to be reported alone.

    Raises:
        IncompleteError: The run is broken, or the gate could not be judged.
        GateFailure: A rule is broken.
    """
    failed = [gap.id for gap in results.coverage.failed]
    failed += [f"{metric.method} {metric.id}" for metric in results.metrics if metric.status == "error"]
    if results.status != "complete" or failed:
        what = f": {', '.join(failed[:5])}" if failed else ""
        raise IncompleteError(f"the run is {results.status} and proves nothing about what is missing{what}")
    if gate is None or gate.exit_code == 0:
        return
    broken = [rule for rule in gate.rules if rule.verdict == gate.verdict]
    count = f"{len(broken)} of {len(gate.rules)} rules"
    first = " ".join(word for word in (broken[0].metric, broken[0].method, broken[0].attack) if word)
    if gate.verdict == "error":
        raise IncompleteError(f"the gate could not be judged: {count}: {first}: {broken[0].reason}")
    if not no_fail:
        text = f"the gate failed: {count} broken: {first}: {broken[0].reason}"
        raise GateFailure(
            text, hint="report.html lists every rule; `evaluate --no-fail` reports without failing"
        )


def _append_summary(summary: Path) -> None:
    """GitHub shows what stands in this file on the page of the job."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if not page:
        return
    try:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        raise OutputError(
            f"$GITHUB_STEP_SUMMARY: cannot be written: {error.strerror or error}",
            hint="unset it to go without the summary page",
        ) from error
