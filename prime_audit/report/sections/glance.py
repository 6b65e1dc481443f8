"""Which method gives away most, about whom, and how sure that is: for those who read one page."""

from dataclasses import dataclass

from prime_audit.report import words
from prime_audit.report.source import Source
from prime_audit.results import Finding, Metric


@dataclass(frozen=True)
class Row:
    """One finding about records, in times of 100 that an attacker picks the right one of two records.

    `right` is the figure of the primary attack and `interval` its interval; `most` that of the attack with
    the largest figure, where that is another one; `person` that of the most exposed person; `secrets` what
    was found about planted secrets.
    """

    method: str
    label: str
    who: str
    finding: Finding
    right: str
    interval: str
    most: str
    person: str
    seen: str
    secrets: Finding | None = None


def rows(source: Source) -> list[Row]:
    """Sum up what was found about records, the strongest case first.

    Args:
        source: The run.

    Returns:
        A row per finding; none for designs that cannot state a leak.
    """
    if source.observed or source.pool:
        return []
    order = ("leak", "difference", "inconclusive", "none detected")
    on_records = [finding for finding in source.findings if finding.attack not in source.planted]
    # By the attack that was named beforehand: the others are not all run on every method.
    ranked = sorted(on_records, key=lambda entry: (order.index(entry.verdict), -_primary(source, entry)))
    return [_row(source, finding) for finding in ranked]


def leads(found: list[Row]) -> list[Row]:
    """Pick the strongest leak about each group of people.

    Args:
        found: All rows, the strongest first.

    Returns:
        One row per group that something leaks about.
    """
    first: dict[str, Row] = {}
    for row in found:
        if row.finding.verdict == "leak" and row.right:
            first.setdefault(row.who, row)
    return list(first.values())


def _primary(source: Source, finding: Finding) -> float:
    metric = source.metric("mia.auc", finding.method, source.primary, subject=finding.subject)
    return -1.0 if metric is None or metric.value is None else metric.value


def _row(source: Source, finding: Finding) -> Row:
    subject = finding.subject
    metric = source.metric("mia.auc", finding.method, source.primary, subject=subject)
    largest = source.largest(finding.method, subject)
    worst = source.metric("mia.auc_worst", finding.method, source.primary, subject=subject)
    alone = worst is None or (worst.n is not None and worst.n.users == 1)
    seen = finding.could_have_seen if finding.verdict == "none detected" else None
    return Row(
        method=finding.method,
        label=source.label[finding.method],
        who=words.WHO[subject],
        finding=finding,
        right=_times(metric),
        interval=_interval(metric),
        most="" if largest is None or largest is metric else f"{_times(largest)} ({largest.attack})",
        person="" if alone else f"{_times(worst)}\n{_interval(worst)}".strip(),
        seen="" if seen is None else f"{100 * seen:.0f} would have been seen",
        secrets=next((one for one in source.findings if _on_secrets(source, one, finding)), None),
    )


def _on_secrets(source: Source, one: Finding, beside: Finding) -> bool:
    same = (one.method, one.subject) == (beside.method, beside.subject)
    return same and one.attack in source.planted


def _times(metric: Metric | None) -> str:
    return "" if metric is None or metric.value is None else f"{100 * metric.value:.0f}"


def _interval(metric: Metric | None) -> str:
    if metric is None or metric.ci is None:
        return ""
    return f"{100 * metric.ci.low:.0f} to {100 * metric.ci.high:.0f}"
