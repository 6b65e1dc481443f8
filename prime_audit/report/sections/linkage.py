"""Whose modules are in a merged adapter, as far as its file and a pool of modules tell."""

import re
from collections.abc import Sequence

from prime_audit.core import plural
from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, MINUS, cell, number
from prime_audit.results import Metric

# Above it the ridge of the fit decides, not the data.
_COLLINEAR = 1e6
_Adapter = tuple[str | None, str | None]


def view(source: Source) -> dict[str, object] | None:
    """Prepare a table of candidates per adapter.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no adapter was linked.
    """
    if not source.pool:
        return None
    metrics = [metric for metric in source.results.metrics if metric.id.startswith("linkage.")]
    adapters: dict[_Adapter, list[Metric]] = {}
    for metric in metrics:
        adapters.setdefault((metric.method, metric.target), []).append(metric)
    info = next((attack for attack in source.results.attacks if attack.kind == "linkage"), None)
    return {
        "adapters": [_adapter(key, found) for key, found in adapters.items()],
        "space": info.params.get("space") if info is not None else None,
        "threshold": _threshold(info.params.get("threshold") if info is not None else None),
        "least": _threshold(info.params.get("least_cosine") if info is not None else None),
    }


def linkage_tables(source: Source) -> list[Table]:
    """Make the tables that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        One per adapter.
    """
    found = view(source)
    adapters = found["adapters"] if found is not None else []
    return [entry["table"] for entry in adapters] if isinstance(adapters, list) else []


def _adapter(key: _Adapter, metrics: Sequence[Metric]) -> dict[str, object]:
    whole = {metric.id: metric for metric in metrics if metric.user is None}
    users = tuple(dict.fromkeys(metric.user for metric in metrics if metric.user is not None))
    by_user = {(m.id, m.user): m for m in metrics if m.user is not None and m.slice is None}
    rows = tuple(_row(user, by_user) for user in sorted(users, key=lambda user: -_score(user, by_user)))
    name = " for ".join(part for part in key if part is not None)
    head = ("Sharer", "In the merge", "Weight", "Score", "Cosine", "Layers that say so")
    condition = whole.get("linkage.condition")
    left = whole.get("linkage.unexplained")
    return {
        "table": Table(f"Whose modules are in {name} (95 % intervals in brackets)", head, rows, text=2),
        "unexplained": f"{100 * left.value:.1f} %" if left is not None and left.value is not None else DASH,
        "condition": "infinite" if condition is None or condition.value is None else f"{condition.value:.3g}",
        "collinear": condition is None or condition.value is None or condition.value > _COLLINEAR,
        "named": plural(sum(row[1] == "yes" for row in rows), "module"),
        "count": plural(len(rows), "candidate"),
    }


def _score(user: str, metrics: dict[tuple[str, str], Metric]) -> float:
    metric = metrics.get(("linkage.score", user))
    return metric.value if metric is not None and metric.value is not None else -1.0


def _row(user: str, metrics: dict[tuple[str, str], Metric]) -> tuple[str, ...]:
    named, votes = metrics.get(("linkage.named", user)), metrics.get(("linkage.votes", user))
    said = DASH
    if votes is not None and votes.value is not None:
        said = f"{votes.value:.0f} {(votes.unit or '').removeprefix('layers ')}".strip()
    return (
        user,
        DASH if named is None or named.value is None else ("yes" if named.value else "no"),
        _weight(metrics.get(("linkage.weight", user))),
        cell(metrics.get(("linkage.score", user)), 1),
        cell(metrics.get(("linkage.cosine", user)), 2),
        said,
    )


def _weight(metric: Metric | None) -> str:
    """A weight of zero has no sign."""
    return re.sub(f"[+{MINUS}]0\\.000", "0.000", cell(metric, plus=True))


def _threshold(value: object) -> str:
    return number(value, 2) if isinstance(value, float) else DASH
