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
    shown = [method for method in source.shown if _point(source, method, None) is not None]
    about = {who for method in shown for who in source.subjects.get(method.id, ())}
    subjects = sorted(about, key=str)
    if not subjects:
        return None
    points = {who: _points(source, shown, who) for who in subjects}
    span = across(point for several in points.values() for point in several)
    return {"figures": [_figure(source, several, who, span) for who, several in points.items()]}


def _points(source: Source, methods: list[Method], subject: Subject | None) -> list[PlanePoint]:
    """What was attacked about this subject, and what was not attacked at all."""
    points = []
    for method in methods:
        whom = source.subjects.get(method.id, ())
        point = _point(source, method, subject) if not whom or subject in whom else None
        if point is not None:
            points.append(point)
    return points


def _point(source: Source, method: Method, subject: Subject | None) -> PlanePoint | None:
    utility = source.metric("utility.primary", method.id)
    if utility is None or utility.value is None:
        return None
    leak = source.leak(method.id, subject)
    return PlanePoint(
        id=method.id,
        family=method.family,
        of=str(method.params["of"]) if method.family == "control" and "of" in method.params else None,
        utility=utility.value,
        utility_ci=utility.ci,
        leak=leak.value if leak else None,
        leak_ci=leak.ci if leak else None,
    )


def _figure(
    source: Source, shown: list[PlanePoint], subject: Subject | None, span: tuple[float, float]
) -> Figure:
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
        plane(name, title, description, shown, span),
        _table(source, shown, title, subject),
    )


def _table(source: Source, shown: list[PlanePoint], title: str, subject: Subject | None) -> Table:
    front = {point.id for point in pareto(shown)}
    families = {method.id: family(method) for method in source.shown}
    badges = frozenset(families[point.id] for point in shown if point.family == "control")
    rows = []
    for point in shown:
        leak = source.leak(point.id, subject)
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
