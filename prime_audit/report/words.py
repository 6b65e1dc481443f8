"""Numbers and verdicts in plain words; HTML, Markdown and the terminal use the same ones."""

from dataclasses import dataclass
from typing import Literal

from prime_audit.report.source import Source
from prime_audit.results import CI, Finding, Method, Metric

DASH = "\u2013"
MINUS = "\u2212"
ALPHA = "\u03b1"
TIMES = "\u00d7"
WHO = {
    "sharer": "the people who shared their modules",
    "target": "the person it was made for",
    "base-user": "the people whose data adapted the base",
    None: "the people whose records were tested",
}
FINDING_WORDS = {
    "leak": ("▲", "Leak"),
    "none detected": ("○", "None detected"),
    "difference": ("≠", "Difference"),
    "inconclusive": ("?", "Inconclusive"),
}
ALARM_P = 0.001
_MOST_NAMES = 8


@dataclass(frozen=True)
class Headline:
    """The first thing a reader sees: `tone` picks the colour, the words say everything without it."""

    tone: Literal["bad", "warn", "good", "plain"]
    icon: str
    words: str
    detail: str


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals.

    Args:
        value: The number.
        digits: Decimals.

    Returns:
        The text; a dash for None.
    """
    return DASH if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """Write a number with its sign.

    Args:
        value: The number.
        digits: Decimals.

    Returns:
        The text, with a true minus sign.
    """
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(ci: CI | None, digits: int = 3) -> str:
    """Write an interval as "low to high".

    Args:
        ci: The interval.
        digits: Decimals.

    Returns:
        The text; a dash for None.
    """
    return (
        DASH if ci is None else f"{number(ci.low, digits)} to {number(ci.high, digits)}".replace("-", MINUS)
    )


def cell(metric: Metric | None, digits: int = 3, *, plus: bool = False) -> str:
    """Write a metric: its value and, on a second line, its interval; or why there is none.

    Every output turns the line break into a space, except the tables of the page.

    Args:
        metric: The metric.
        digits: Decimals.
        plus: Whether to show the sign of a positive number.

    Returns:
        The text; a dash where the run holds no such metric.
    """
    if metric is None:
        return DASH
    if metric.value is None:
        return f"{metric.status}\n({' '.join(metric.reason.split())})"
    text = signed(metric.value, digits) if plus else number(metric.value, digits)
    return text if metric.ci is None else f"{text}\n({interval(metric.ci, digits)})"


def family(method: Method) -> str:
    """Name a method's family, and for a control the method that it belongs to.

    Args:
        method: The method.

    Returns:
        For example "merging" or "control of prime".
    """
    of = method.params.get("of")
    return f"control of {of}" if method.family == "control" and of else method.family


def p_value(p: float | None) -> str:
    """Write a p-value.

    Args:
        p: The probability.

    Returns:
        For example "p = 0.021" or "p < 0.001".
    """
    if p is None:
        return "p not available"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun.

    Args:
        count: How many.
        noun: The noun in the singular; it takes a plain s.

    Returns:
        For example "1 limit" or "3 limits".
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def finding_sentence(source: Source, finding: Finding) -> str:
    """Say what a finding means, with its numbers and its limits.

    Args:
        source: The run.
        finding: One of its findings.

    Returns:
        One to three sentences.
    """
    attack = finding.attack or source.primary
    figures = _figures(source, finding, attack)
    if finding.verdict == "leak":
        metric = source.metric("mia.auc", finding.method, attack)
        pairs = "" if metric is None or metric.value is None else _pairs(metric.value)
        return (
            f"Whoever holds what is deployed can tell trained-on records from held-out ones. {pairs}{figures}"
        )
    if finding.verdict == "none detected":
        seen = finding.could_have_seen
        what = "difference" if source.observed else "leak"
        power = (
            f"How strong a {what} would have been seen is not known."
            if seen is None
            else f"An AUC of {number(seen, 2)} would have been seen; a weaker {what} could have gone "
            "unnoticed."
        )
        over = "what the texts alone show" if source.observed else "guessing"
        return f"No increase over {over} was detected. {power} {figures}"
    if finding.verdict == "difference":
        return f"The two lists differ; this design cannot tell a leak from any other difference. {figures}"
    return f"Nothing can be said: {finding.reason or 'no reason was recorded'}."


def _pairs(auc: float) -> str:
    return (
        f"Shown one trained-on and one held-out record, the attack picks the right one "
        f"{round(100 * auc)} times in 100; guessing gives 50. "
    )


def _figures(source: Source, finding: Finding, attack: str | None) -> str:
    metric = source.metric("mia.auc", finding.method, attack)
    parts = [f"attack {attack}"] if attack else []
    if metric is not None and metric.value is not None:
        parts.append(f"AUC {number(metric.value)}")
        if metric.ci is not None:
            parts.append(f"{100 * metric.ci.level:g} % interval {interval(metric.ci)}")
    if finding.p is not None or not source.observed:
        parts.append(p_value(finding.p))
    return f"({', '.join(parts)})"


def control_behaviour(source: Source, control: Method) -> tuple[str, str]:
    """Say what a control must show and whether it did.

    Args:
        source: The run.
        control: A method of the family "control".

    Returns:
        What is expected, and one of "as expected", "NOT as expected", "measured", "not measured".
    """
    if control.id.endswith("without-sharer"):
        finding = next((entry for entry in source.results.findings if entry.method == control.id), None)
        seen = finding is not None and finding.p is not None
        return "shows what is not learnt from the sharer's module", "measured" if seen else "not measured"
    if source.observed:
        return _observed_behaviour(source, control)
    must_leak = control.id.endswith("own-module")
    expected = (
        "must leak (shows that the attacks work)" if must_leak else "must show nothing (shows a fair design)"
    )
    finding = next((entry for entry in source.results.findings if entry.method == control.id), None)
    metric = source.metric("mia.auc", control.id, control_attack(source, control))
    if must_leak and finding is not None and finding.verdict != "inconclusive":
        good = finding.verdict == "leak"
    elif not must_leak and finding is not None and finding.p is not None:
        good = finding.p >= ALARM_P
    elif metric is None or metric.value is None:
        return expected, "not measured"
    elif must_leak:
        good = metric.ci is not None and metric.ci.low > 0.5
    else:
        good = metric.value == 0.5 if metric.ci is None else metric.ci.low <= 0.5 <= metric.ci.high
    return expected, "as expected" if good else "NOT as expected"


def control_attack(source: Source, control: Method) -> str | None:
    """Name the attack whose figure stands for a control.

    Args:
        source: The run.
        control: A method of the family "control".

    Returns:
        The primary attack; for the control that sees no model, its own id among the attacks.
    """
    return source.blind if control.kind == source.blind else source.primary


def _observed_behaviour(source: Source, control: Method) -> tuple[str, str]:
    """Where lists are compared, a control is what the findings are set against, and nothing is expected."""
    attacks = (control_attack(source, control), *(attack.id for attack in source.attacks))
    figures = (source.metric("mia.auc", control.id, attack) for attack in attacks)
    seen = any(metric is not None and metric.value is not None for metric in figures)
    expected = "shows what tells the lists apart without what is audited"
    return expected, "measured" if seen else "not measured"


def unexpected_controls(source: Source) -> tuple[str, ...]:
    """List the controls that did not behave.

    Args:
        source: The run.

    Returns:
        Their ids.
    """
    return tuple(
        control.id
        for control in source.controls
        if control_behaviour(source, control)[1] == "NOT as expected"
    )


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
        return Headline("warn", "!", "Incomplete: do not read this run as a clean one", detail)
    gate = source.gate
    if gate is None or (not gate.rules and gate.verdict == "pass"):
        return found
    counts = {
        verdict: sum(rule.verdict == verdict for rule in gate.rules) for verdict in ("pass", "fail", "error")
    }
    if gate.verdict == "fail":
        return Headline(
            "bad",
            "✖",
            f"Gate failed: {counts['fail']} of {plural(len(gate.rules), 'limit')} broken",
            f"{found.words}. {found.detail}",
        )
    if gate.verdict == "error":
        return Headline(
            "warn",
            "!",
            f"Gate not judged: {counts['error']} of {plural(len(gate.rules), 'limit')} could not be checked",
            f"{found.words}. {found.detail}",
        )
    tone = found.tone if found.tone in ("bad", "warn") else "good"
    return Headline(tone, found.icon if tone != "good" else "✔", f"Gate passed. {found.words}", found.detail)


def _found(source: Source) -> Headline:
    """The headline that the findings alone would give."""
    findings = source.findings
    count = {verdict: sum(entry.verdict == verdict for entry in findings) for verdict in FINDING_WORDS}
    total = plural(len(findings), "audited case")
    odd = unexpected_controls(source)
    doubt = f" Controls that did not behave as they must: {', '.join(odd)}." if odd else ""
    if source.pool:
        return _linked(source)
    if not findings:
        return Headline("warn", "?", "Nothing was audited", f"No finding was made about any method.{doubt}")
    if count["leak"]:
        return Headline(
            "bad", "▲", f"Leak detected in {count['leak']} of {total}", _strongest(source) + doubt
        )
    if count["inconclusive"] or odd:
        words = (
            f"Inconclusive: {count['inconclusive']} of {total}" if count["inconclusive"] else "Inconclusive"
        )
        return Headline("warn", "?", words, f"Read the reasons below.{doubt}")
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
    detail = f"{listed}. {share} It proves that the files were used, not what leaked."
    return Headline("bad", "▲", f"{len(who)} of {candidates} found in the adapter", detail)


def _strongest(source: Source) -> str:
    leaks = [entry for entry in source.findings if entry.verdict == "leak"]
    ranked = sorted(leaks, key=lambda entry: -_auc(source, entry))
    if _auc(source, ranked[0]) < 0:
        return ""
    top = ranked[0]
    auc = number(_auc(source, top), 2)
    return f"Strongest: {top.method}, about {WHO[top.subject]} (AUC {auc}; 0.50 is guessing)."


def _auc(source: Source, finding: Finding) -> float:
    metric = source.metric("mia.auc", finding.method, finding.attack or source.primary)
    return -1.0 if metric is None or metric.value is None else metric.value
