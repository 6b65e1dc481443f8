"""Two runs side by side, and the gate, as plain lines for a terminal of 80 columns."""

from prime_audit.core import printable
from prime_audit.gate import Comparison, Gate, Judgement, Row
from prime_audit.report import words

WIDTH = 80
_NAME = 34
_LONGEST = 400
_ICONS = {"pass": "✔", "warn": "!", "fail": "✖", "error": "?"}
_HEADS = {
    "pass": "Gate passed",
    "warn": "Gate passed, with warnings",
    "fail": "Gate failed",
    "error": "Gate not judged",
}


def render_comparison(found: Comparison, primary: str | None) -> list[str]:
    """Write two runs side by side.

    Args:
        found: The comparison.
        primary: The attack whose figures are shown; all where there is none.

    Returns:
        Lines of at most 80 columns: utility and the primary attack's AUC of every method.
    """
    lines = [_cut(f"A: {printable(found.a)}"), _cut(f"B: {printable(found.b)}"), ""]
    lines.append(f"{'':{_NAME}} {'A':>7} {'B':>7}  B {words.MINUS} A, 95 % interval")
    rows = [row for row in found.rows if _main(row, primary)]
    lines += [_line(row) for row in rows]
    if not rows:
        lines.append("neither run gives a utility or an AUC")
    lines.append("")
    if found.differs:
        lines += [
            "No differences are given: the runs differ in",
            *(_cut(f"  {what}") for what in found.differs),
        ]
    else:
        same = "the same" if found.same_study else "other"
        lines.append(f"Same data and designs, {same} settings; differences are of these runs.")
    return lines


def render_gate(gate: Gate) -> list[str]:
    """Write the verdict and a line per rule, broken ones first.

    Args:
        gate: The gate.

    Returns:
        Plain lines without terminal codes.
    """
    order = ("fail", "error", "warn", "pass")
    lines = [f"{_ICONS[gate.verdict]} {_HEADS[gate.verdict]}"]
    for rule in sorted(gate.rules, key=lambda one: order.index(one.verdict)):
        lines.append(f"  {_ICONS[rule.verdict]} {rule_words(rule)}")
    if gate.baseline is not None:
        seeds = f"{gate.baseline.runs} training seed{'s' if gate.baseline.runs > 1 else ''}"
        same = "" if gate.baseline.same_study else "; this run's settings are not the baseline's"
        lines.append(f"  baseline: {seeds}, {gate.baseline.reason}{same}")
    return [("  " if line.startswith("  ") else "") + printable(line, _LONGEST) for line in lines]


def rule_words(rule: Judgement) -> str:
    """Say in one line what a rule asked, what was found and what that came to."""
    name = " ".join(word for word in (rule.metric, rule.method, rule.attack) if word)
    part = "" if rule.subset == "all targets" else f" ({rule.subset})"
    seen = f"; a change of {rule.detectable:.3f} would have been seen" if rule.detectable is not None else ""
    return f"{name}{part}: {found_words(rule)}, {limit_words(rule)}: {rule.reason}{seen}"


def limit_words(rule: Judgement) -> str:
    """Say what a rule allows."""
    asked = {
        "max": "at most {}",
        "min": "at least {}",
        "max_increase": "at most {} above the baseline",
        "max_decrease": "at most {} below the baseline",
    }
    return asked[rule.side].format(words.number(rule.limit))


def found_words(rule: Judgement) -> str:
    """Say what was found, with the change from the baseline where there is one."""
    value = (
        f"{words.number(rule.value)} ({words.interval(rule.ci)})" if rule.value is not None else words.DASH
    )
    if rule.delta is None or rule.baseline is None:
        return value
    return f"{value}, baseline {words.number(rule.baseline)}, change {words.signed(rule.delta)}"


def _main(row: Row, primary: str | None) -> bool:
    if row.metric == "utility.primary":
        return True
    return row.metric == "mia.auc" and (primary is None or row.attack == primary)


def _line(row: Row) -> str:
    name = " ".join(word for word in (row.metric, row.method, row.attack) if word)
    change = ""
    if row.difference is not None:
        ends = f" ({words.interval(row.ci)})" if row.ci is not None else ""
        change = f"{words.signed(row.difference)}{ends}"
    cells = f"{printable(name, _NAME):{_NAME}} {words.number(row.a):>7} {words.number(row.b):>7}  {change}"
    return _cut(cells)


def _cut(line: str) -> str:
    return line.rstrip()[:WIDTH]
