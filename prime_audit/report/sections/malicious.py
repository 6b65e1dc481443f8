"""If somebody cheats: a merger who chooses weights or crafts a module, a sharer who poses to be selected."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell
from prime_audit.results import Metric

_ARMS = {"weights": "chooses the weights", "module": "crafts a module"}
_POSING = ("selected", "weight", "utility")
_NAMES = ("honest", "exposure", "gain", "completed", "weight", "share")


def view(source: Source) -> dict[str, object] | None:
    """Prepare the tables.

    Args:
        source: The run.

    Returns:
        What the template shows; None where nobody cheated.
    """
    merger, sharer = _merger(source), _sharer(source)
    return {"merger": merger, "sharer": sharer} if merger or sharer else None


def _merger(source: Source) -> Table | None:
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
    return Table("What a cheating merger gets", head, tuple(row(*one) for one in rows), text=2)


def _sharer(source: Source) -> Table | None:
    found = {(m.id, m.method): m for m in source.results.metrics if m.id.startswith("posing.")}
    methods = [method for name, method in found if name == "posing.selected"]
    if not methods:
        return None

    def row(method: str | None) -> tuple[str, ...]:
        selected, weight, utility = (found.get((f"posing.{name}", method)) for name in _POSING)
        return (
            str(method),
            cell(selected, 2),
            cell(weight, 2, plus=True),
            cell(utility, 3, plus=True),
            _people(selected),
        )

    head = ("Method", "Selected", "Weight of the module", "Change of utility", "Targets")
    return Table("What a posing sharer gets", head, tuple(row(method) for method in methods), text=1)


def malicious_tables(source: Source) -> list[Table]:
    """Make the table that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        A table of the merger and one of the sharer; none where nobody cheated.
    """
    return [table for table in (_merger(source), _sharer(source)) if table is not None]


def _people(metric: Metric | None) -> str:
    return DASH if metric is None or metric.n is None or metric.n.users is None else str(metric.n.users)
