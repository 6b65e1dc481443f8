"""What a run comes to, in one line: what is broken first, then the gate, then the findings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from prime_audit.core import plural
from prime_audit.gate import Gate
from prime_audit.report.source import Source
from prime_audit.report.words import (
    FINDING_WORDS,
    WHO,
    aucs,
    finding_sentence,
    largest_auc,
    unexpected_controls,
)
from prime_audit.results import Finding

_MOST_NAMES = 8


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees: `tone` picks the colour, the words say everything without it.

    What follows the words is in three parts: `before`, the strongest case in figures, and `after`.
    """

    tone: Literal["bad", "warn", "good", "plain"]
    icon: str
    words: str
    before: str = ""
    strongest: str = ""
    after: str = ""

    @property
    def detail(self) -> str:
        """Everything that follows the words, in one line."""
        return " ".join(part for part in (self.before, self.strongest, self.after) if part)


def headline(source: Source) -> Headline:
    """Sum up a run: what is broken first, then the gate, then the findings.

    Args:
        source: The run.

    Returns:
        The headline.
    """
    found = _found(source)
    if source.broken:
        faults = plural(source.faults, "failure")
        detail = f"The run is {source.results.status}, with {faults}. {found.words}."
        return Headline("warn", "!", "Incomplete: do not read this run as a clean one", before=detail)
    gate = source.gate
    if gate is None or (not gate.rules and gate.verdict == "pass"):
        return found
    return _judged(found, gate)


def _judged(found: Headline, gate: Gate) -> Headline:
    """The headline with what the gate says of it."""
    counts = Counter(rule.verdict for rule in gate.rules)
    limits = plural(len(gate.rules), "limit")
    if gate.verdict in ("fail", "error"):
        before = " ".join(part for part in (f"{found.words}.", found.before) if part)
        if gate.verdict == "fail":
            words = f"Gate failed: {counts['fail']} of {limits} broken"
            return replace(found, tone="bad", icon="✖", words=words, before=before)
        words = f"Gate not judged: {counts['error']} of {limits} could not be checked"
        return replace(found, tone="warn", icon="!", words=words, before=before)
    warned = f", with {plural(counts['warn'], 'warning')}" if counts["warn"] else ""
    if found.tone == "plain":
        return replace(found, tone="good", icon="✔", words=f"Gate passed{warned}. {found.words}")
    # What was found stands alone: beside it "passed" would read as a clearance.
    every = "all are" if len(gate.rules) > 1 else "it is"
    kept = f"This run was held to {limits} of its own (the gate), and {every} kept{warned}."
    after = " ".join(part for part in (found.after, kept, "That does not say that nothing leaks.") if part)
    return replace(found, after=after)


def _found(source: Source) -> Headline:
    """The headline that the findings alone would give."""
    findings = source.findings
    count = {verdict: sum(entry.verdict == verdict for entry in findings) for verdict in FINDING_WORDS}
    total = plural(len(findings), "audited case")
    odd = unexpected_controls(source)
    doubt = f"Controls that did not behave as they must: {', '.join(odd)}." if odd else ""
    if source.pool:
        return _linked(source)
    if not findings:
        return Headline(
            "warn", "?", "Nothing was audited", before="No finding was made about any method.", after=doubt
        )
    if count["leak"]:
        words = f"Leak detected in {count['leak']} of {total}"
        return Headline("bad", "▲", words, strongest=_strongest(source), after=doubt)
    if count["inconclusive"] or odd:
        words = (
            f"Inconclusive: {count['inconclusive']} of {total}" if count["inconclusive"] else "Inconclusive"
        )
        return Headline("warn", "?", words, before=_reasons(findings), after=doubt)
    if count["difference"]:
        detail = "This design compares two lists; it cannot call a difference a leak."
        return Headline("warn", "≠", f"A difference was found in {count['difference']} of {total}", detail)
    detail = "This is not a proof of privacy: each finding says how strong a leak would have been seen."
    return Headline("plain", "○", f"None detected in {total}", detail)


def _linked(source: Source) -> Headline:
    """The headline of an adapter that was compared with a pool of modules."""
    named = [m for m in source.results.metrics if m.id == "linkage.named" and m.user is not None]
    who = sorted(str(metric.user) for metric in named if metric.value)
    left = next((m.value for m in source.results.metrics if m.id == "linkage.unexplained"), None)
    share = (
        f"The pool leaves {100 * left:.1f} % of the squared change unexplained." if left is not None else ""
    )
    candidates = plural(len(named), "candidate module")
    if not who:
        return Headline("plain", "○", f"None of {candidates} was found in the adapter", share)
    listed = ", ".join(who[:_MOST_NAMES]) + (
        f" and {len(who) - _MOST_NAMES} more" if who[_MOST_NAMES:] else ""
    )
    proves = "It proves that the files were used, not what leaked."
    detail = f"{listed}. {share} {proves}"
    return Headline("bad", "▲", f"{len(who)} of {candidates} found in the adapter", detail)


def _strongest(source: Source) -> str:
    leaks = [entry for entry in source.findings if entry.verdict == "leak"]
    top = min(leaks, key=lambda entry: -largest_auc(source, entry))
    if top.attack in source.planted:
        return f"{top.method}: {finding_sentence(source, top)}"
    if largest_auc(source, top) < 0:
        return ""
    figures = "; ".join(aucs(source, top.method, top.attack or source.primary, 2, top.subject))
    return f"Strongest: {top.method}, about {WHO[top.subject]} ({figures}; 0.50 is guessing)."


def _reasons(findings: Sequence[Finding]) -> str:
    """Why findings are inconclusive: each reason once, with the methods that it holds for."""
    methods: dict[str, list[str]] = {}
    for finding in findings:
        if finding.verdict == "inconclusive":
            methods.setdefault(finding.reason or "no reason was recorded", []).append(finding.method)
    return " ".join(
        f"{reason[:1].upper()}{reason[1:]} ({', '.join(ids)})." for reason, ids in methods.items()
    )
