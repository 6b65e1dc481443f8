"""Planted secrets: how far they stand out, whether they come out, and the epsilon that they prove."""

from collections.abc import Sequence

from prime_audit.core import plural
from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, number, p_value
from prime_audit.results import Metric

_BOUNDS = {"one-run": "one run, no assumption", "f-dp": "one run, assuming a Gaussian trade-off"}


def view(source: Source) -> dict[str, object] | None:
    """Prepare the tables of the canary arm.

    Args:
        source: The run.

    Returns:
        What the template shows; None where nothing was planted.
    """
    metrics = source.results.metrics
    exposed = [metric for metric in metrics if metric.id == "exposure.bits"]
    if not exposed:
        return None
    return {
        "together": _together(metrics),
        "by_type": _by_type(metrics),
        "used": [_used(m) for m in metrics if m.id == "extraction.discovery"],
        "bounds": _bounds(metrics),
    }


def canary_tables(source: Source) -> list[Table]:
    """Make the tables that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        Exposure and extraction over all types, and the bounds; empty where nothing was planted.
    """
    found = view(source)
    kept = [found[name] for name in ("together", "bounds")] if found else []
    return [table for table in kept if isinstance(table, Table)]


def _together(metrics: Sequence[Metric]) -> Table:
    head = (
        *("Model", "Repeated", "Bits beyond", "p", "Completed", "Off by", "Picked"),
        *("In 1,000 samples", "Planted"),
    )
    rows = []
    for bits in metrics:
        part = bits.slice or {}
        if bits.id != "exposure.bits" or "type" in part:
            continue
        times = part.get("repetitions")

        def of(name: str, method: str | None = bits.method, times: object = times) -> Metric | None:
            return _find(metrics, name, method, times)

        p = of("exposure.p")
        inside = bits.n.members if bits.n is not None else None
        rows.append(
            (
                str(bits.method),
                str(times),
                cell(bits, 2, plus=True),
                p_value(p.value if p is not None else None),
                cell(of("extraction.rate"), 2),
                cell(of("extraction.distance"), 2),
                cell(of("pii.inference"), 2),
                cell(of("extraction.probability"), 3),
                DASH if inside is None else str(inside),
            )
        )
    return Table("Planted secrets, all types together", head, tuple(rows), text=1)


def _used(metric: Metric) -> str:
    count = metric.n.scored if metric.n is not None and metric.n.scored else 0
    return f"{metric.method}: {round((metric.value or 0) * count)} of {count}"


def _by_type(metrics: Sequence[Metric]) -> Table:
    rows = []
    for bits in metrics:
        part = bits.slice or {}
        if bits.id != "exposure.bits" or "type" not in part:
            continue
        kind, times = part["type"], part.get("repetitions")
        p = _find(metrics, "exposure.p", bits.method, times, kind)
        beyond = _find(metrics, "exposure.extrapolated", bits.method, times, kind)
        counts = DASH if bits.n is None else f"{bits.n.members} planted, {bits.n.nonmembers} never"
        rows.append(
            (
                str(bits.method),
                str(kind),
                str(times),
                cell(bits, 2, plus=True),
                p_value(p.value if p is not None else None),
                number(beyond.value if beyond is not None else None, 1),
                counts,
            )
        )
    head = ("Model", "Type", "Repeated", "Bits beyond", "p", "Extrapolated bits", "Secrets")
    return Table("Exposure by type", head, tuple(rows), text=2)


def _bounds(metrics: Sequence[Metric]) -> Table | None:
    rows = []
    for lower in metrics:
        if lower.id != "epsilon.lower":
            continue
        part = lower.slice or {}
        ceiling = next(
            (
                m
                for m in metrics
                if (m.id, m.method, m.slice) == ("epsilon.ceiling", lower.method, lower.slice)
            ),
            None,
        )
        count = lower.n.scored if lower.n is not None else None
        rows.append(
            (
                str(lower.method),
                _BOUNDS.get(str(part.get("bound")), str(part.get("bound"))),
                cell(lower, 2),
                number(ceiling.value if ceiling is not None else None, 2),
                DASH if count is None else plural(count, "secret"),
            )
        )
    head = ("Model", "Bound", "ε at least", "It could have reached", "Of one occurrence")
    return Table("Lower bounds on ε", head, tuple(rows), text=2) if rows else None


def _find(
    metrics: Sequence[Metric], name: str, method: str | None, times: object, kind: object = None
) -> Metric | None:
    for metric in metrics:
        part = metric.slice or {}
        if (metric.id, metric.method) == (name, method) and part.get("repetitions") == times:
            if part.get("type") == kind:
                return metric
    return None
