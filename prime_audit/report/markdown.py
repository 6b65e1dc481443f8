"""summary.md, for a pull request or a job's summary page."""

from collections.abc import Mapping

from prime_audit.core import plural, printable
from prime_audit.gate import Gate
from prime_audit.report import words
from prime_audit.report.comparison import found_words, limit_words
from prime_audit.report.headline import headline
from prime_audit.report.parts import Table
from prime_audit.report.sections.attacks import attacks_table
from prime_audit.report.sections.canaries import canary_tables
from prime_audit.report.sections.linkage import linkage_tables
from prime_audit.report.sections.malicious import malicious_tables
from prime_audit.report.sections.methods import methods_table
from prime_audit.report.source import Source
from prime_audit.results import Results

_LONGEST_TEXT = 500
# GitHub takes comments of 64 kB.
_MOST_BYTES = 59_000
_ORDER = ("fail", "error", "warn", "pass")


def render_markdown(results: Results, manifest: Mapping[str, object], gate: Gate | None = None) -> str:
    """Render summary.md: verdict, coverage and the table of methods.

    Args:
        results: What the run found.
        manifest: What manifest.json holds.
        gate: The verdict of the gate, where rules were judged.

    Returns:
        GitHub-flavoured Markdown. Text from outside stands in code spans, where it can do nothing.
    """
    source = Source(results, manifest, gate)
    head = headline(source)
    lines = [f"## {head.icon} {head.words}", "", code(head.detail), ""]
    task = f"task {code(results.study.task)}, " if results.study.task else ""
    lines += [f"Study {code(results.study.name)}, {task}seed {results.study.seed}.", ""]
    lines += _gate(gate) + _findings(source) + _coverage(source)
    if source.pool:
        lines += ["### Whose modules are in it", ""]
        lines += [line for table in linkage_tables(source) for line in _table(table)]
    elif source.lists:
        lines += ["### Attacks", "", *_table(attacks_table(source))]
    else:
        lines += ["### Methods", "", *_table(methods_table(source))]
        for table in (*canary_tables(source), *malicious_tables(source)):
            lines += ["", f"### {table.caption}", "", *_table(table)]
    return _fitted(lines)


def _fitted(lines: list[str]) -> str:
    """Leave out what comes last where the whole is longer than a comment may be."""
    size, kept = 0, []
    for line in lines:
        size += len(line.encode()) + 1
        if size > _MOST_BYTES:
            kept += ["", "Cut here: report.html holds the rest."]
            break
        kept.append(line)
    return "\n".join(kept).rstrip("\n") + "\n"


def code(text: str) -> str:
    """Put text into a code span, so that no mention, link, tag or table border in it takes effect.

    Args:
        text: Any text.

    Returns:
        The span; a dash for empty text.
    """
    line = printable(text, _LONGEST_TEXT).replace("`", "'").replace("\\", "/").replace("|", "¦")
    return f"`{line}`" if line else words.DASH


def _findings(source: Source) -> list[str]:
    if not source.findings:
        return []
    lines = ["### Findings", ""]
    for finding in source.findings:
        icon, text = words.FINDING_WORDS[finding.verdict]
        sentence = code(words.finding_sentence(source, finding))
        lines.append(
            f"- {icon} **{text}**: {code(finding.method)}, about {words.WHO[finding.subject]}. {sentence}"
        )
    return [*lines, ""]


def _coverage(source: Source) -> list[str]:
    coverage = source.results.coverage
    parts = ", ".join(f"{count} {what}" for what, count in source.counts.items())
    counts = f"{len(coverage.requested)} requested, {parts}; status {source.results.status}."
    gaps = [f"- failed: {code(gap.id)} {code(gap.reason)}" for gap in coverage.failed]
    gaps += [f"- skipped: {code(gap.id)} {code(gap.reason)}" for gap in coverage.skipped]
    return ["### Coverage", "", counts, "", *gaps, *([""] if gaps else [])]


def _gate(gate: Gate | None) -> list[str]:
    if gate is None or not gate.rules:
        return []
    rows = tuple(
        (
            rule.metric,
            rule.method or "every method",
            rule.attack or words.DASH,
            limit_words(rule),
            found_words(rule),
            words.number(rule.detectable),
            f"{rule.verdict}: {rule.reason}",
        )
        for rule in sorted(gate.rules, key=lambda rule: _ORDER.index(rule.verdict))
    )
    head = ("Metric", "Method", "Attack", "Allowed", "Found", "Detectable change", "Verdict")
    lines = ["### Gate", "", *_table(Table("Gate", head, rows)), ""]
    if gate.baseline is not None:
        seeds = plural(gate.baseline.runs, "training seed")
        lines += [f"Compared with a baseline of {seeds}: {code(gate.baseline.reason)}", ""]
    return lines


def _table(table: Table) -> list[str]:
    lines = ["| " + " | ".join(table.head) + " |", "|" + " --- |" * len(table.head)]
    return lines + ["| " + " | ".join(code(text) for text in row) + " |" for row in table.rows]
