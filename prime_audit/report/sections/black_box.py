"""Linkage from likelihoods: does a deployed model find a sharer's records likelier because of the module?"""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell
from prime_audit.results import Metric

_SCORES = {
    "trained": "gain on trained records",
    "held-out": "gain on held-out records",
    "difference": "trained less held-out",
    "similarity": "similarity alone, no model",
}
_GROUPS = ("merged", "others", "without")
_HEAD = (
    *("Method", "Score", "AUC", "Beyond similarity", "Merged, nats", "Others, nats"),
    *("Merge without them, nats", "The module's own, nats", "Targets"),
)


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no model was asked about all sharers.
    """
    found = {
        (m.id.removeprefix("linkage.black_box."), m.method, *_part(m)): m
        for m in source.results.metrics
        if m.id.startswith("linkage.black_box.")
    }
    methods = dict.fromkeys(method for name, method, *_ in found if name == "auc")
    if not methods:
        return None

    def row(method: str | None, score: str) -> tuple[str, ...]:
        auc = found.get(("auc", method, score, None))
        own = found.get(("learnt", method, None, None)) if score == "difference" else None
        gains = (found.get(("gain", method, score, group)) for group in _GROUPS)
        return (
            str(method),
            _SCORES[score],
            cell(auc, 2),
            cell(found.get(("adjusted_auc", method, score, None)), 2),
            *(cell(gain, 2, plus=True) for gain in gains),
            cell(own, 2, plus=True),
            _targets(auc),
        )

    rows = tuple(row(method, score) for method in methods for score in _SCORES)
    turned = [m for (name, *_, group), m in found.items() if name == "auc" and group == "turned"]
    return {
        "table": Table("Merged sharers told from others by likelihood", _HEAD, rows, text=2),
        "turned": bool(turned),
        "without": any(group == "without" for *_, group in found),
    }


def _part(metric: Metric) -> tuple[str | None, str | None]:
    part = metric.slice or {}
    score, sharers = part.get("score"), part.get("sharers")
    return None if score is None else str(score), None if sharers is None else str(sharers)


def _targets(metric: Metric | None) -> str:
    if metric is None or metric.n is None:
        return DASH
    return f"{metric.n.scored} of {metric.n.attempted}"
