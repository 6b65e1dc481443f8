"""The drawings of a search: what the budget bought, and utility against the privacy term."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from prime_audit.report.searches import Sweep
from prime_audit.report.svg import CYCLE, INK, LINE, MUTED, drawing, legend, style, to_svg
from prime_audit.report.words import ALPHA

_Spot = tuple[float, float]


@dataclass(frozen=True)
class BudgetCurves:
    """The best value so far: per target, in the mean over targets, and the base's in the mean."""

    targets: tuple[tuple[float | None, ...], ...]
    mean: tuple[float | None, ...]
    base: float | None


@dataclass(frozen=True)
class Front:
    """Evaluated candidates as (similarity, utility): all, the undominated ones, and the chosen ones.

    `sweep` is where the mean over targets would lie for one alpha after the other, `study` where it lies
    for the study's own.
    """

    candidates: tuple[_Spot, ...]
    undominated: tuple[_Spot, ...]
    chosen: tuple[_Spot, ...]
    sweep: tuple[Sweep, ...]
    study: Sweep


def budget(name: str, title: str, description: str, curves: BudgetCurves, objective: str) -> Markup:
    """Draw the best value so far against the number of evaluated candidates.

    Args:
        name: A page-wide name.
        title: The accessible name.
        description: The accessible description.
        curves: What is drawn.
        objective: What is maximised, for the axis.

    Returns:
        The SVG element.
    """
    with style():
        figure = drawing(3.1, 3)
        axes = figure.subplots()
        for position, curve in enumerate(curves.targets):
            _steps(axes, curve, LINE, 1.0, "" if position else "one target")
        if curves.base is not None:
            axes.axhline(curves.base, color=MUTED, linewidth=1.2, linestyle="--", label="base, mean")
        _steps(axes, curves.mean, CYCLE[2], 2.2, "mean over targets")
        axes.set_xlabel("evaluated candidates")
        axes.set_ylabel(f"best {objective} so far")
        axes.locator_params(axis="x", integer=True)
        _legend(figure, axes)
        return to_svg(figure, name, title, description)


def _steps(axes: Axes, curve: Sequence[float | None], colour: str, width: float, label: str) -> None:
    """Draw a curve as stairs; only where it changes, so that the page stays small."""
    known = [(step + 1, value) for step, value in enumerate(curve) if value is not None]
    kept = [spot for place, spot in enumerate(known) if not place or spot[1] != known[place - 1][1]]
    if kept:
        # Half a step more, so that a gain of the last candidate is seen.
        x, y = zip(*kept, (known[-1][0] + 0.5, known[-1][1]), strict=True)
        axes.plot(x, y, color=colour, linewidth=width, label=label or None, drawstyle="steps-post")


def front(name: str, title: str, description: str, shown: Front) -> Markup:
    """Draw utility against the privacy term for every evaluated candidate.

    Args:
        name: A page-wide name.
        title: The accessible name.
        description: The accessible description.
        shown: What is drawn.

    Returns:
        The SVG element.
    """
    with style():
        figure = drawing(3.3, 5)
        axes = figure.subplots()
        _dots(axes, shown.candidates, LINE, 3.5, "candidate")
        _dots(axes, shown.undominated, CYCLE[0], 4.5, "not beaten for its target")
        _marks(axes, shown.chosen, "*", INK, 7, "deployed")
        path = [(row.similarity, row.utility) for row in shown.sweep]
        axes.plot(
            *zip(*path, strict=True), "-o", color=CYCLE[1], markersize=3.5, label=f"mean, {ALPHA} from 0 to 1"
        )
        study = (shown.study.similarity, shown.study.utility)
        _marks(axes, (study,), "D", CYCLE[1], 8, f"mean, {ALPHA} = {shown.study.alpha:g} (this study)")
        axes.margins(0.06, 0.08)
        axes.set_xlabel("privacy term S (lower is better)")
        axes.set_ylabel("utility U (higher is better)")
        _legend(figure, axes)
        return to_svg(figure, name, title, description)


def _legend(figure: Drawing, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend(figure, dict(zip(labels, handles, strict=True)))


def _marks(axes: Axes, spots: Sequence[_Spot], marker: str, colour: str, size: float, label: str) -> None:
    if spots:
        x, y = zip(*spots, strict=True)
        axes.plot(x, y, marker, color=colour, markersize=size, label=label, linestyle="none")


def _dots(axes: Axes, spots: Sequence[_Spot], colour: str, size: float, label: str) -> None:
    """Draw many dots as one path of round-capped points: markers would cost 150 bytes each."""
    if not spots:
        return
    path = Path([spot for spot in spots for _ in range(2)], [Path.MOVETO, Path.LINETO] * len(spots))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, edgecolor=colour, linewidth=size, capstyle="round", fill=False))
    axes.update_datalim(spots)
    axes.plot([], [], "o", color=colour, markersize=size, label=label)
