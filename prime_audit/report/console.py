"""The last lines on the terminal."""

import shlex
from pathlib import Path

from prime_audit.core import plural, printable
from prime_audit.gate import Gate
from prime_audit.report import words
from prime_audit.report.headline import headline
from prime_audit.report.source import Source
from prime_audit.results import Metric, Results

# With the table's head and the other lines, twelve in all.
_MOST_METHODS = 5
_LONGEST = 400
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
    head = headline(source)
    counts = source.counts
    lines = [f"{head.icon} {head.words}", f"  {head.detail}"]
    lines += [] if source.pool else _methods(source)
    lines.append(
        f"  coverage: {counts['run']} of {len(results.coverage.requested)} run, "
        f"{counts['undefined']} undefined, {counts['failed']} failed, {counts['skipped']} skipped"
    )
    lines.append(f"  report: {run_dir / 'report.html'}")
    lines.append(f"Next: {_next(source, run_dir)}")
    # Cleaning a line strips the spaces before it.
    return [("  " if line.startswith("  ") else "") + printable(line, _LONGEST) for line in lines]


def _methods(source: Source) -> list[str]:
    """A table of the methods, those with a finding first; utility only where it was measured."""
    worst_last = sorted(source.findings, key=lambda finding: -_ORDER.index(finding.verdict))
    verdicts = {finding.method: finding.verdict for finding in worst_last}
    order = sorted(source.methods, key=lambda method: _ORDER.index(verdicts.get(method.id, "none detected")))
    if not order:
        return []
    head = ("method", "utility", f"AUC {source.primary or ''}".rstrip(), "finding", "largest AUC")
    rows = [_row(source, method.id, verdicts.get(method.id)) for method in order[:_MOST_METHODS]]
    shown = [line[:1] + line[2:] if source.lists else line for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    ]
    if len(order) > _MOST_METHODS:
        lines.append(f"  and {plural(len(order) - _MOST_METHODS, 'more method')} in the report")
    return lines


def _row(source: Source, method: str, verdict: str | None) -> tuple[str, ...]:
    utility = source.metric("utility.primary", method)
    largest = source.largest(method) if verdict else None
    other = largest is not None and largest.attack != source.primary
    return (
        method,
        words.number(utility.value, 2) if utility is not None else words.DASH,
        _short(source.metric("mia.auc", method, source.primary)) if verdict else words.DASH,
        verdict or "not attacked",
        f"{words.number(largest.value, 2)} {largest.attack}{words.over(source, largest)}"
        if largest is not None and other
        else "",
    )


def _short(metric: Metric | None) -> str:
    """A figure in one line of a narrow table; the report says why one is undefined."""
    return metric.status if metric is not None and metric.value is None else words.cell(metric, 2)


def _next(source: Source, run_dir: Path) -> str:
    if source.results.status != "complete":
        study = shlex.quote(str(run_dir / "config.resolved.yaml"))
        return f"prime-audit evaluate {study} --out {shlex.quote(str(run_dir))}"
    return "open the report in a browser"
