"""Prompt leakage: does a target's history come out of the prompt that it stands in?"""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, number, p_value
from prime_audit.results import Metric

_ASKED = {
    None: "all requests",
    "repeat": "to repeat it",
    "summarise": "to sum it up",
    "prefix": "to go on with it",
}
_HEAD = (
    "Method",
    "Asked",
    "Came out",
    "Never in the prompt",
    "p",
    "Without the history",
    "Longest run",
    "Never in the prompt: run",
    "p of runs",
    "Records",
    "People",
)


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no prompt was asked.
    """
    found = {(m.id, m.method, _kind(m)): m for m in source.results.metrics if m.id.startswith("prompt.")}
    rates = [metric for (name, _, _), metric in found.items() if name == "prompt.leak_rate"]
    if not rates:
        return None

    def row(rate: Metric) -> tuple[str, ...]:
        def of(name: str) -> Metric | None:
            return found.get((f"prompt.{name}", rate.method, _kind(rate)))

        return (
            str(rate.method),
            _ASKED.get(_kind(rate), str(_kind(rate))),
            cell(rate, 2),
            cell(of("control_rate"), 2),
            p_value(_value(of("leak_p"))),
            cell(of("base_rate"), 2),
            number(_value(of("longest_run")), 1),
            number(_value(of("control_run")), 1),
            p_value(_value(of("run_p"))),
            DASH if rate.n is None or rate.n.members is None else str(rate.n.members),
            DASH if rate.n is None else str(rate.n.users),
        )

    return {
        "table": Table("Records that came out of the prompt", _HEAD, tuple(map(row, rates)), text=2),
        "mixed": [m.method for m in rates if _kind(m) is None and "from the module" in m.reason],
        "leaked": sum(metric.value or 0 for metric in rates if _kind(metric) is None) > 0,
    }


def _kind(metric: Metric) -> str | None:
    kind = (metric.slice or {}).get("request")
    return None if kind is None else str(kind)


def _value(metric: Metric | None) -> float | None:
    return None if metric is None else metric.value
