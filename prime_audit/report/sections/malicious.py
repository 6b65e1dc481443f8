"""If the merger cheats: what chosen weights or a crafted module bring out of a victim."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell
from prime_audit.results import Metric

_ARMS = {"weights": "chooses the weights", "module": "crafts a module"}
_NAMES = ("honest", "exposure", "gain", "completed", "weight", "share")


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no merger cheated.
    """
    found = {
        (m.id, m.method, str((m.slice or {}).get("arm"))): m
        for m in source.results.metrics
        if m.id.startswith("malicious.")
    }
    rows = [(method, arm) for name, method, arm in found if name == "malicious.gain"]
    if not rows:
        return None

    def row(method: str | None, arm: str) -> tuple[str, ...]:
        metrics = [found.get((f"malicious.{name}", method, arm)) for name in _NAMES]
        return (
            str(method),
            _ARMS.get(arm, arm),
            *(cell(metric, 2, plus=True) for metric in metrics[:3]),
            *(cell(metric, 2) for metric in metrics[3:]),
            _people(metrics[2]),
        )

    head = (
        *("Method", "The merger", "Honest, bits", "Attacked, bits", "Gain"),
        *("Completed", "Weight it gets", "Victim's weight", "People"),
    )
    return {"table": Table("What a cheating merger gets", head, tuple(row(*one) for one in rows), text=2)}


def malicious_tables(source: Source) -> list[Table]:
    """Make the table that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        One table; none where no merger cheated.
    """
    table = (view(source) or {}).get("table")
    return [table] if isinstance(table, Table) else []


def _people(metric: Metric | None) -> str:
    return DASH if metric is None or metric.n is None or metric.n.users is None else str(metric.n.users)
