"""The privacy-utility plane: what a method gives the target against what it gives away."""

from prime_audit.report.figures import PlanePoint, across, pareto, plane
from prime_audit.report.parts import Figure, Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, WHO, cell, family, interval, number
from prime_audit.results import Method, Subject


def view(source: Source) -> dict[str, object] | None:
    """Draw one plane per subject whose records were attacked.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no method has a utility.
    """
    points = {method.id: point for method in source.shown if (point := _point(source, method))}
    subjects = sorted(
        {_subject(source, name) for name, point in points.items() if point.leak is not None}, key=str
    )
    if not subjects:
        return None
    return {"figures": [_figure(source, points, subject) for subject in subjects]}


def _point(source: Source, method: Method) -> PlanePoint | None:
    utility = source.metric("utility.primary", method.id)
    if utility is None or utility.value is None:
        return None
    leak = source.leak(method.id)
    return PlanePoint(
        id=method.id,
        family=method.family,
        of=str(method.params["of"]) if method.family == "control" and "of" in method.params else None,
        utility=utility.value,
        utility_ci=utility.ci,
        leak=leak.value if leak else None,
        leak_ci=leak.ci if leak else None,
    )


def _subject(source: Source, method: str) -> Subject | None:
    leak = source.leak(method)
    return leak.subject if leak else None


def _figure(source: Source, points: dict[str, PlanePoint], subject: Subject | None) -> Figure:
    shown = [p for name, p in points.items() if p.leak is None or _subject(source, name) == subject]
    front = pareto(shown)
    title = f"Utility against leakage about {WHO[subject]}"
    description = (
        f"Across: AUC of the attack {source.primary}, 0.5 is guessing. Up: utility for the target. "
        f"Not beaten in both: {', '.join(point.id for point in front) or 'none'}. The table below holds "
        f"every value."
    )
    name = f"plane-{subject or 'all'}"
    return Figure(
        name,
        title,
        description,
        plane(name, title, description, shown, across(points.values())),
        _table(source, shown, title),
    )


def _table(source: Source, shown: list[PlanePoint], title: str) -> Table:
    front = {point.id for point in pareto(shown)}
    families = {method.id: family(method) for method in source.shown}
    badges = frozenset(families[point.id] for point in shown if point.family == "control")
    rows = []
    for point in shown:
        leak = source.leak(point.id)
        general = DASH if leak is None or leak.sharers_ci is None else interval(leak.sharers_ci)
        rows.append(
            (
                point.id,
                families[point.id],
                number(point.utility),
                interval(point.utility_ci),
                "not attacked" if leak is None else cell(leak),
                general,
                "over merged targets" if leak is not None and leak.slice else "over all targets",
                "on the front" if point.id in front else "",
            )
        )
    head = ("Method", "Family", "Utility", "Its interval", "AUC (these modules)", "AUC (sharers in general)")
    return Table(title, (*head, "AUC is taken", "Pareto"), tuple(rows), text=2, badges=badges)
