"""Planted secrets: how far they stand out, whether they come out, and the epsilon that they prove."""

from collections.abc import Sequence

from prime_audit.core import plural
from prime_audit.report import words
from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, number, p_value
from prime_audit.results import Finding, Metric

_BOUNDS = {"one-run": "one run, no assumption", "f-dp": "one run, assuming a Gaussian trade-off"}

_GAMES = ("extraction", "reconstruction")


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
        "sampled": _sampled(metrics),
        "by_type": _by_type(metrics),
        "used": [_used(m) for m in metrics if m.id == "extraction.discovery"],
        "bounds": _bounds(metrics),
        "claim": next((m for m in metrics if m.id == "epsilon.claimed"), None),
        "crowded": next((m.reason for m in metrics if m.id == "canaries.token_share"), ""),
        "extrapolated": any(m.id == "exposure.extrapolated" for m in metrics),
        "own": [words.finding_sentence(source, f) for f in source.results.findings if _own(source, f)],
    }


def _own(source: Source, finding: Finding) -> bool:
    control = finding.method not in {method.id for method in source.methods}
    return control and finding.attack in source.planted


def canary_tables(source: Source) -> list[Table]:
    """Make the tables that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        Exposure and extraction over all types, and the bounds; empty where nothing was planted.
    """
    found = view(source)
    kept = [found[name] for name in ("together", "sampled", "bounds")] if found else []
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


def _sampled(metrics: Sequence[Metric]) -> Table | None:
    """What sampled texts hold; None where none was sampled."""
    rows = []
    for held in metrics:
        times = (held.slice or {}).get("repetitions")
        if held.id != "pii.extraction":
            continue
        restored = _find(metrics, "pii.reconstruction", held.method, times)
        p, other = (_find(metrics, f"pii.{name}_p", held.method, times) for name in _GAMES)
        precision = next((m for m in metrics if (m.id, m.method) == ("pii.precision", held.method)), None)
        rows.append(
            (
                str(held.method),
                str(times),
                cell(held, 2),
                p_value(p.value) if p is not None else DASH,
                cell(restored, 2),
                p_value(other.value) if other is not None else DASH,
                cell(precision, 2),
            )
        )
    head = ("Model", "Repeated", "Held by a sample", "p", "Filled in", "p", "Of the finds, planted")
    return Table("Planted secrets in sampled texts", head, tuple(rows), text=1) if rows else None


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
                DASH if beyond is None else _beyond(beyond),
                counts,
            )
        )
    head = ("Model", "Type", "Repeated", "Bits beyond", "p", "Extrapolated bits", "Secrets")
    return Table("Exposure by type", head, tuple(rows), text=2)


def _beyond(metric: Metric) -> str:
    """The median, and how many secrets it is about; the reason begins with that count."""
    count = metric.reason.partition(" planted secrets")[0]
    value = number(metric.value, 1) if metric.value is not None else metric.status
    return f"{value}, {count.removeprefix('undefined ')}"


def _bounds(metrics: Sequence[Metric]) -> Table | None:
    lowers = [metric for metric in metrics if metric.id == "epsilon.lower"]
    rows = [_bound(metrics, lower) for lower in lowers]
    head: tuple[str, ...] = ("Model", "Bound", "ε at least", "It could have reached", "Of one occurrence")
    if any(metric.id == "epsilon.claimed" for metric in metrics):
        head = (*head, "Claimed", "Held against it")
    return Table("Lower bounds on ε", head, tuple(row[: len(head)] for row in rows), text=2) if rows else None


def _bound(metrics: Sequence[Metric], lower: Metric) -> tuple[str, ...]:
    def beside(name: str) -> Metric | None:
        same = (name, lower.method, lower.slice)
        return next((m for m in metrics if (m.id, m.method, m.slice) == same), None)

    part, (ceiling, claimed) = lower.slice or {}, map(beside, ("epsilon.ceiling", "epsilon.claimed"))
    return (
        str(lower.method),
        _BOUNDS.get(str(part.get("bound")), str(part.get("bound"))),
        cell(lower, 2),
        number(ceiling.value if ceiling is not None else None, 2),
        DASH if lower.n is None or lower.n.scored is None else plural(lower.n.scored, "secret"),
        number(claimed.value if claimed is not None else None, 2),
        _against(beside("epsilon.over_claim")),
    )


def _against(over: Metric | None) -> str:
    """What a bound says of a claim, in few words; the metric's reason says it with figures."""
    if over is None:
        return DASH
    if over.status == "error":
        return "✖ refuted, at 99.9 %"
    if over.value is None:
        return "not compared" if over.reason.startswith("not compared") else "out of its reach"
    return "! refuted, at 95 %" if over.value > 0 else "not refuted"


def _find(
    metrics: Sequence[Metric], name: str, method: str | None, times: object, kind: object = None
) -> Metric | None:
    for metric in metrics:
        part = metric.slice or {}
        if (metric.id, metric.method) == (name, method) and part.get("repetitions") == times:
            if part.get("type") == kind:
                return metric
    return None
