"""What one record, one sharer, a share and a norm change: the designs beside the coin flips."""

from collections.abc import Sequence

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, p_value
from prime_audit.results import Metric

_WEIGHTS = {
    "own": "the sharer's own module, unmerged",
    "frozen": "merge weights as deployed",
    "remade": "method run again",
}


def view(source: Source) -> dict[str, object] | None:
    """Prepare a table per design.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no such design was run.
    """
    tables: dict[str, object] = {
        "swaps": _swaps(source.results.metrics),
        "pools": _pools(source.results.metrics),
        "doses": _doses(source.results.metrics),
    }
    return tables if any(tables.values()) else None


def _swaps(metrics: Sequence[Metric]) -> Table | None:
    rows = [
        (
            str(method),
            _WEIGHTS.get(weights, weights),
            *_figures(metrics, "swap", method, "weights", weights, 4),
        )
        for method, weights in _cases(metrics, "swap.gap", "weights")
    ]
    head = ("Method", "Weights", "Change in nats per token", "Above 0", "p", "Swaps")
    return Table("Swaps of one record", head, tuple(rows), text=2) if rows else None


def _pools(metrics: Sequence[Metric]) -> Table | None:
    rows = [
        (
            str(method),
            records,
            *_figures(metrics, "user", method, "records", records, 3),
            cell(_find(metrics, "user.auc", method, "records", records)),
        )
        for method, records in _cases(metrics, "user.gap", "records")
    ]
    head = (
        "Method",
        "Records",
        "Change in nats per record",
        "Above 0",
        "p",
        "Sharers",
        "AUC of merged sharers",
    )
    return Table("Sharers exchanged", head, tuple(rows), text=2) if rows else None


def _doses(metrics: Sequence[Metric]) -> Table | None:
    found = {(m.id, m.attack): m for m in metrics if m.id in ("dose.share", "dose.norm")}
    attacks = dict.fromkeys(attack for _, attack in found)
    rows = [
        (str(name), *(cell(found.get((dose, name)), 2, plus=True) for dose in ("dose.share", "dose.norm")))
        for name in attacks
    ]
    head = ("Attack", "Share at a fixed norm", "Norm at a fixed share")
    return Table("Rank correlation of dose with leakage", head, tuple(rows)) if rows else None


def _cases(metrics: Sequence[Metric], name: str, key: str) -> list[tuple[str | None, str]]:
    return [(m.method, str((m.slice or {})[key])) for m in metrics if m.id == name]


def _find(metrics: Sequence[Metric], name: str, method: str | None, key: str, value: str) -> Metric | None:
    return next(
        (m for m in metrics if m.id == name and m.method == method and (m.slice or {}).get(key) == value),
        None,
    )


def _figures(
    metrics: Sequence[Metric], name: str, method: str | None, key: str, value: str, digits: int
) -> tuple[str, str, str, str]:
    gap, share, p = (_find(metrics, f"{name}.{part}", method, key, value) for part in ("gap", "share", "p"))
    count = gap.n.scored if gap is not None and gap.n is not None else None
    return (
        cell(gap, digits, plus=True),
        cell(share, 2),
        p_value(p.value if p is not None else None),
        DASH if count is None else str(count),
    )
