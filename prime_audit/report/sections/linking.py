"""Linkage in a study: are the sharers recognised in the adapters that were deployed?"""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell
from prime_audit.results import Metric


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table.

    Args:
        source: The run.

    Returns:
        What the template shows; None where nothing was linked.
    """
    found = {(m.id, m.method): m for m in source.results.metrics if m.id.startswith("linkage.")}
    methods = dict.fromkeys(method for name, method in found if name == "linkage.recall")
    if not methods:
        return None

    def row(method: str | None) -> tuple[str, ...]:
        names = ("recall", "false_named", "auc", "weight_error", "unexplained")
        metrics = [found.get((f"linkage.{name}", method)) for name in names]
        recall = metrics[0]
        return (
            str(method),
            *(cell(metric, digits) for metric, digits in zip(metrics, (2, 2, 2, 4, 3), strict=True)),
            _counts(recall),
        )

    head = ("Method", "Merged, named", "Others, named", "AUC", "Weight off by", "Unexplained", "Adapters")
    return {"table": Table("Sharers in the deployed adapters", head, tuple(map(row, methods)))}


def _counts(metric: Metric | None) -> str:
    if metric is None or metric.n is None:
        return DASH
    return f"{metric.n.scored} of {metric.n.attempted}"
