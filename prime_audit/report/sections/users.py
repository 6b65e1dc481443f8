"""Figures per person, by id."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell
from prime_audit.results import Metric

_NAMES = {"utility.primary": "Utility per target", "mia.auc": "AUC of the primary attack per person"}


def view(source: Source) -> dict[str, object] | None:
    """Prepare leakage per person and utility per target.

    Args:
        source: The run.

    Returns:
        What the template shows; None where the run holds no figure per person.
    """
    metrics = source.results.metrics
    leaks = [
        m for m in metrics if m.id == "mia.auc" and m.user and not m.target and m.attack == source.primary
    ]
    utilities = [m for m in metrics if m.id == "utility.primary" and (m.target or m.user)]
    tables = [
        _table(name, group) for name, group in (("mia.auc", leaks), ("utility.primary", utilities)) if group
    ]
    return {"tables": tables} if tables else None


def _table(name: str, metrics: list[Metric]) -> Table:
    index: dict[tuple[str, str], Metric] = {}
    for metric in metrics:
        index.setdefault((metric.user or metric.target or DASH, metric.method or DASH), metric)
    people = sorted({person for person, _ in index})
    methods = tuple(dict.fromkeys(method for _, method in index))
    rows = tuple((person, *(cell(index.get((person, method))) for method in methods)) for person in people)
    return Table(_NAMES[name], ("Person", *methods), rows)
