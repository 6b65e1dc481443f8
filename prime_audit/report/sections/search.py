"""How the merge weights were found, and what was deployed."""

from collections.abc import Sequence

from prime_audit.core import plural
from prime_audit.report.parts import Figure, Table
from prime_audit.report.search_figures import BudgetCurves, Front, budget, front
from prime_audit.report.searches import (
    Sweep,
    base_value,
    best_so_far,
    comparable,
    deployed_point,
    mean_curve,
    penalty,
    searched,
    sweep,
    undominated,
)
from prime_audit.report.sections.weights import deployed_table, heat, notes_table, reverts_table
from prime_audit.report.source import Source
from prime_audit.report.words import ALPHA, DASH, MINUS, number
from prime_audit.results import Method, Search, SearchPoint

_ALPHAS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
_STEPS = (1, 5, 10, 20)
_MOST_METHODS = 8
_MOST_DOTS = 600


def view(source: Source) -> dict[str, object] | None:
    """Draw the search of each method, and list what was deployed per target, what was reverted, and notes.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no method merged.
    """
    if not source.searches:
        return None
    methods = [method for method in source.results.methods if method.id in source.searches]
    order = list(source.searches)
    methods.sort(key=lambda method: order.index(method.id))
    groups = {method.id: figures for method in methods if (figures := _figures(source, method))}
    drawn = list(groups)[:_MOST_METHODS]
    return {
        "figures": [figure for name in drawn for figure in groups[name]],
        "undrawn": list(groups)[_MOST_METHODS:],
        "deployed": deployed_table(source),
        "heats": [heat(name, entries) for name, entries in source.searches.items()],
        "reverts": reverts_table(source),
        "notes": notes_table(source),
    }


def _figures(source: Source, method: Method) -> list[Figure]:
    """The figures of a method; none unless it tried more than one candidate for some target."""
    entries = [entry for entry in source.searches[method.id] if len(searched(entry)) > 1]
    if not entries:
        return []
    place = list(source.searches).index(method.id)
    figures = [_budget(place, method, entries)]
    alpha = penalty(method.params)
    if alpha is not None and (drawn := _front(place, method, entries, alpha)):
        figures.append(drawn)
    return figures


def _budget(place: int, method: Method, entries: Sequence[Search]) -> Figure:
    alpha = penalty(method.params) or 0.0
    objective = f"U {MINUS} {alpha:g}·S" if alpha else "U"
    curves = tuple(best_so_far(entry, alpha) for entry in entries)
    bases = [base_value(entry, alpha) for entry in entries]
    known = [base for base in bases if base is not None]
    base = sum(known) / len(known) if len(known) == len(bases) else None
    mean = mean_curve(curves)
    title = f"What the budget of {method.id} bought"
    description = (
        f"Across: evaluated candidates. Up: the best {objective} among them on the search part of the "
        f"target's history. Thick: mean over {plural(len(entries), 'target')}; thin: one target each."
        f"{'' if base is None else ' Dashed: the base, in the mean.'}{_raced(entries)}"
    )
    picture = BudgetCurves(curves, mean, base)
    name = f"budget-{place}"
    drawn = budget(name, title, description, picture, objective)
    return Figure(name, title, description, drawn, _budget_table(title, objective, entries, curves, mean))


def _raced(entries: Sequence[Search]) -> str:
    count = sum(len(searched(entry)) - len(comparable(entry)) for entry in entries)
    if not count:
        return ""
    said = f"{plural(count, 'candidate')} dropped by racing, measured on fewer items,"
    return f" {said} {'counts' if count == 1 else 'count'} as evaluated but not as the best."


def _budget_table(
    title: str,
    objective: str,
    entries: Sequence[Search],
    curves: Sequence[Sequence[float | None]],
    mean: Sequence[float | None],
) -> Table:
    steps = [step for step in _STEPS if step < len(mean)]
    last = ("at the end", "evaluated", "dropped early", "chosen: U", "chosen: S", "measured on")
    head = ("Target", *(f"best {objective} after {step}" for step in steps), *last)
    rows = [("mean", *_at(mean, steps), number(mean[-1]), *([DASH] * 5))]
    for entry, curve in zip(entries, curves, strict=True):
        point = None if entry.chosen is None else entry.points[entry.chosen]
        counts = len(searched(entry)), len(searched(entry)) - len(comparable(entry))
        part = " ".join(point.part.split()) if point else ""
        chosen = (number(point.u if point else None), number(point.s if point else None), part or DASH)
        values = (*_at(curve, steps), number(curve[-1]))
        rows.append((entry.target, *values, str(counts[0]), str(counts[1]), *chosen))
    return Table(title, head, tuple(rows))


def _at(curve: Sequence[float | None], steps: Sequence[int]) -> list[str]:
    return [number(curve[min(step, len(curve)) - 1]) for step in steps]


def _front(place: int, method: Method, entries: Sequence[Search], alpha: float) -> Figure | None:
    """The front; None where the privacy term is missing or the same for every candidate."""
    pools = [comparable(entry) for entry in entries]
    every = [spot for pool in pools for spot in _spots(pool)]
    if len({spot[0] for spot in every}) < 2:
        return None
    step = -(-len(every) // _MOST_DOTS)
    best = [spot for pool in pools for spot in _spots([pool[position] for position in undominated(pool)])]
    stars = _spots([point for entry in entries if (point := deployed_point(entry)) and not entry.reverted])
    rows = sweep(entries, sorted({*_ALPHAS, alpha}))
    study = next(row for row in rows if row.alpha == alpha)
    title = f"Utility against the privacy term, as {method.id} saw it"
    back = sum(entry.reverted for entry in entries)
    description = (
        f"{plural(len(every), 'evaluated candidate')} for {plural(len(entries), 'target')}, on the search "
        "part; the lower right loses in both. Larger dots: no other candidate for the same target beats them "
        f"in both. Stars: deployed{f' ({back} fell back to the base)' if back else ''}. The line shows where "
        f"the mean over targets would lie for {ALPHA} from 0 to 1, the diamond for this study's {alpha:g}; "
        f"nothing was evaluated again for it.{f' One dot in {step} is drawn.' if step > 1 else ''}"
    )
    picture = Front(tuple(every[::step]), tuple(best), tuple(stars), rows, study)
    name = f"front-{place}"
    drawn = front(name, title, description, picture)
    return Figure(name, title, description, drawn, _sweep_table(method.id, rows, study, len(entries)))


def _sweep_table(method: str, rows: Sequence[Sweep], study: Sweep, targets: int) -> Table:
    caption = f"The best candidate of {method} on the search part under other values of {ALPHA}, in the mean"
    head = (ALPHA, "mean U", "mean S", "targets at the base", "remark")
    cells = tuple(
        (
            f"{row.alpha:g}",
            number(row.utility),
            number(row.similarity),
            f"{row.base} of {targets}",
            f"this study's {ALPHA}" if row is study else "",
        )
        for row in rows
    )
    note = (
        "over targets; what is deployed is decided on held-out items with a margin, which is not applied here"
    )
    return Table(f"{caption} {note}", head, cells)


def _spots(points: Sequence[SearchPoint]) -> list[tuple[float, float]]:
    return [(point.s, point.u) for point in points if point.s is not None and point.u is not None]
