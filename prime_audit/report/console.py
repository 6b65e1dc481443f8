"""The last lines on the terminal."""

import shlex
from pathlib import Path

from prime_audit.core import printable
from prime_audit.gate import Gate
from prime_audit.report import words
from prime_audit.report.source import Source
from prime_audit.results import Results

_MOST_METHODS = 6
_ORDER = ("leak", "difference", "inconclusive", "none detected")


def render_console(results: Results, gate: Gate | None, run_dir: Path) -> list[str]:
    """Sum up a run in at most 12 lines: verdict, findings, coverage, where the report is, the next command.

    Args:
        results: What the run found.
        gate: The verdict of the gate, where rules were judged.
        run_dir: The run's folder.

    Returns:
        Plain lines without terminal codes.
    """
    source = Source(results, {}, gate)
    head = words.headline(source)
    coverage = results.coverage
    lines = [f"{head.icon} {head.words}", f"  {head.detail}"]
    lines += [] if source.pool else _methods(source)
    lines.append(
        f"  coverage: {len(coverage.run)} of {len(coverage.requested)} run, "
        f"{len(coverage.failed)} failed, {len(coverage.skipped)} skipped"
    )
    lines.append(f"  report: {run_dir / 'report.html'}")
    lines.append(f"Next: {_next(source, run_dir)}")
    return [
        printable(line, 200) if not line.startswith(" ") else "  " + printable(line, 198) for line in lines
    ]


def _methods(source: Source) -> list[str]:
    verdicts = {finding.method: finding.verdict for finding in reversed(source.findings)}
    shown = sorted(source.methods, key=lambda method: _ORDER.index(verdicts.get(method.id, "none detected")))
    lines = []
    for method in shown[:_MOST_METHODS]:
        utility = f"utility {words.cell(source.metric('utility.primary', method.id))}; "
        verdict = verdicts.get(method.id)
        leak = (
            f"AUC {words.cell(source.metric('mia.auc', method.id, source.primary))}, {verdict}"
            if verdict
            else ""
        )
        lines.append(f"  {method.id:<12} {'' if source.lists else utility}{leak or 'not attacked'}")
    if len(shown) > _MOST_METHODS:
        lines.append(f"  and {len(shown) - _MOST_METHODS} more methods in the report")
    return lines


def _next(source: Source, run_dir: Path) -> str:
    if source.results.status != "complete":
        study = shlex.quote(str(run_dir / "config.resolved.yaml"))
        return f"prime-audit evaluate {study} --out {shlex.quote(str(run_dir))}"
    return "open the report in a browser"
