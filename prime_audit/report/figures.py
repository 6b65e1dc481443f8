"""The drawings of the report. Each takes plain numbers and ids, and returns an SVG element."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from prime_audit.report.svg import CYCLE, LINE, MUTED, SHADE, drawing, legend, style, to_svg
from prime_audit.results import CI, Curve, Distribution

# One colour and one marker per family, so that neither is needed to read the other.
FAMILIES = {
    "prompt": (CYCLE[0], "o"),
    "training": (CYCLE[1], "s"),
    "merging": (CYCLE[2], "D"),
    "control": (MUTED, "^"),
}
_DASHES = ("-", "--", "-.", ":")
# Where a label may stand, in points from its marker: its corners, then further out at the end of a line.
_CORNERS = 4
_SPOTS: tuple[tuple[int, int, Literal["left", "right"]], ...] = tuple(
    (sign * x, y, "left" if sign > 0 else "right")
    for x, heights in ((7, (5, -12)), (18, (20, -27)), (36, (5, -12, 36, -43)), (60, (20, -27, 55, -62)))
    for y in heights
    for sign in (1, -1)
)
_Box = tuple[float, float, float, float]  # left, lower, right and upper end
_MANY = 8
_COLUMNS = 3


@dataclass(frozen=True)
class PlanePoint:
    """A method on the privacy-utility plane; `leak` is None where nothing was attacked.

    `of` is the method that a control belongs to.
    """

    id: str
    family: str
    utility: float
    utility_ci: CI | None
    leak: float | None
    leak_ci: CI | None
    of: str | None = None


def pareto(points: Sequence[PlanePoint]) -> tuple[PlanePoint, ...]:
    """Find the methods that no other one beats in both utility and leakage.

    Args:
        points: The methods; leakage is the distance of the AUC from 1/2, on either side.

    Returns:
        The front among the attacked methods without the controls, the one that leaks least first.
    """
    rivals = [point for point in points if point.leak is not None and point.family != "control"]
    front: list[PlanePoint] = []
    for point in sorted(rivals, key=lambda point: (_distance(point), -point.utility)):
        if not front or point.utility > front[-1].utility:
            front.append(point)
    return tuple(front)


def _distance(point: PlanePoint) -> float:
    return abs(_x(point) - 0.5)


def across(points: Iterable[PlanePoint]) -> tuple[float, float]:
    """Find the range of leakage that figures of one report share, so that places in them can be compared.

    Args:
        points: The methods of all figures.

    Returns:
        Its ends, with guessing inside and room for markers and labels.
    """
    known = [(point.leak, point.leak_ci) for point in points if point.leak is not None]
    ends = [0.5, *(end for leak, ci in known for end in (leak, *((ci.low, ci.high) if ci else ())))]
    room = max(0.16 * (max(ends) - min(ends)), 0.02)
    return min(ends) - room, max(ends) + room


def plane(
    name: str,
    title: str,
    description: str,
    points: Sequence[PlanePoint],
    span: tuple[float, float] | None = None,
) -> Markup:
    """Draw utility against leakage, with both intervals as crosses and the Pareto front as a line.

    Args:
        name: A page-wide name.
        title: The accessible name.
        description: The accessible description.
        points: The methods. Those that were not attacked stand in a strip of their own, at their utility. A
            thin line leads from a control to its method.
        span: The ends of the axis of leakage; those of these points alone by default.

    Returns:
        The SVG element.
    """
    attacked = [point for point in points if point.leak is not None]
    front = pareto(points)
    with style():
        figure = drawing(3.7 if len(points) <= _MANY else 4.9)
        strip, axes = figure.subplots(1, 2, sharey=True, width_ratios=(2, 5))
        axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        over = axes.get_xaxis_transform()
        axes.text(0.5, 1.01, "guessing", transform=over, ha="center", fontsize=8, color=MUTED)
        axes.plot([_x(p) for p in front], [p.utility for p in front], color=LINE, linewidth=2.5, zorder=1)
        _ties(axes, attacked)
        for point in points:
            _cross(strip if point.leak is None else axes, point)
        axes.margins(0.18, 0.15)
        axes.set_xlim(span or across(points))
        axes.locator_params(axis="x", nbins=7)
        axes.set_xlabel("attack's AUC (nearer to 0.5 is better)")
        axes.tick_params(labelleft=False)
        strip.set(xlim=(-0.4, 2), xticks=[], xlabel="not attacked", ylabel="utility (higher is better)")
        figure.draw_without_rendering()
        _label(axes, attacked)
        _label(strip, [point for point in points if point.leak is None])
        return to_svg(figure, name, title, description)


def _ties(axes: Axes, points: Sequence[PlanePoint]) -> None:
    """Lead a thin line from each control to the method that it belongs to."""
    by_id = {point.id: point for point in points}
    for point in points:
        other = by_id.get(point.of or "")
        if other is not None:
            ends = [_x(point), _x(other)], [point.utility, other.utility]
            axes.plot(*ends, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)


def _x(point: PlanePoint) -> float:
    return 0.0 if point.leak is None else point.leak


def _cross(axes: Axes, point: PlanePoint) -> None:
    colour, marker = FAMILIES[point.family]
    x = _x(point)
    axes.errorbar(
        [x],
        [point.utility],
        xerr=_arms(x, point.leak_ci),
        yerr=_arms(point.utility, point.utility_ci),
        fmt=marker,
        color=colour,
        markersize=7,
        elinewidth=0.8,
    )


def _arms(value: float, ci: CI | None) -> list[list[float]] | None:
    return None if ci is None else [[max(value - ci.low, 0.0)], [max(ci.high - value, 0.0)]]


def _label(axes: Axes, points: Sequence[PlanePoint]) -> None:
    """Write each method's id beside its marker, near it and over as little else as can be."""
    scale = axes.figure.dpi / 72
    left, low, right, high = (value / scale for value in axes.get_window_extent().extents)
    frame = (left - 2, low, right + 12, high)

    def place(x: float, y: float) -> _Box:
        spot = axes.transData.transform((x, y)) / scale
        return spot[0], spot[1], spot[0], spot[1]

    centres = {point.id: place(_x(point), point.utility) for point in points}
    solid = [_grown(centre, 5) for centre in centres.values()]
    arms = [_grown(arm, 1) for point in points for arm in _arm_boxes(point, place)]
    for point in points:
        x, y = centres[point.id][:2]
        boxes = [_text_box(x + dx, y + dy, side, len(point.id)) for dx, dy, side in _SPOTS]
        costs = [
            3 * sum(_overlap(box, other) for other in solid)
            + 0.5 * sum(_overlap(box, arm) for arm in arms)
            + 6 * _outside(box, frame)
            + 0.06 * distance
            for distance, box in enumerate(boxes)
        ]
        best = costs.index(min(costs))
        solid.append(boxes[best])
        dx, dy, side = _SPOTS[best]
        axes.annotate(
            point.id,
            (_x(point), point.utility),
            (dx, dy),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            arrowprops=None if best < _CORNERS else {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6},
        )


def _arm_boxes(point: PlanePoint, place: Callable[[float, float], _Box]) -> list[_Box]:
    """The boxes of a cross: across and up."""
    x, y = _x(point), point.utility
    ends = []
    if point.leak_ci is not None:
        ends.append((place(point.leak_ci.low, y), place(point.leak_ci.high, y)))
    if point.utility_ci is not None:
        ends.append((place(x, point.utility_ci.low), place(x, point.utility_ci.high)))
    return [(*low[:2], *high[2:]) for low, high in ends]


def _grown(box: _Box, by: float) -> _Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _text_box(x: float, y: float, side: str, letters: int) -> _Box:
    width = 4.6 * letters
    left = x if side == "left" else x - width
    return left, y, left + width, y + 9


def _outside(box: _Box, frame: _Box) -> bool:
    return box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def roc(name: str, title: str, description: str, curves: Mapping[int, tuple[str, Curve]]) -> Markup:
    """Draw ROC curves on two logarithmic axes; the region that rests on too few records is shaded.

    Args:
        name: A page-wide name.
        title: The accessible name.
        description: The accessible description.
        curves: At least one curve with its label, under the number that picks its colour and dashes.

    Returns:
        The SVG element.
    """
    limits = [curve.resolvable_from for _, curve in curves.values() if curve.resolvable_from]
    resolvable = min(max(limits, default=0.01), 0.5)
    floor = resolvable / 3
    with style():
        figure = drawing(3.5, len(curves) + 1)
        axes = figure.subplots()
        axes.axvspan(floor, resolvable, color=SHADE, linewidth=0)
        axes.text(floor * 1.05, 0.93, "too few\nrecords", fontsize=8, color=MUTED, va="top")
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="guessing")
        for index, (label, curve) in sorted(curves.items(), key=lambda entry: entry[0]):
            colour, dashes = line_look(index)
            axes.plot(
                [max(value, floor) for value in curve.fpr],
                [max(value, floor) for value in curve.tpr],
                color=colour,
                linestyle=dashes,
                linewidth=1.7,
                label=label,
            )
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1))
        ticks = [tick for tick in (0.001, 0.01, 0.1, 1) if tick >= floor]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        legend(figure, _labelled([axes]))
        return to_svg(figure, name, title, description)


def line_look(index: int) -> tuple[str, str]:
    """Pick a colour and dashes for a curve.

    Args:
        index: Its number.

    Returns:
        The pair; neighbours differ in both, and no two of the first 24 curves are alike.
    """
    return CYCLE[index % len(CYCLE)], _DASHES[(index + index // 12) % len(_DASHES)]


def distributions(
    name: str,
    title: str,
    description: str,
    entries: Sequence[Distribution],
    labels: Sequence[str],
) -> Markup:
    """Draw the scores of members and non-members, one small panel per method.

    Args:
        name: A page-wide name.
        title: The accessible name.
        description: The accessible description.
        entries: At least one pair of histograms.
        labels: What each panel is called.

    Returns:
        The SVG element; heights are shares of each group.
    """
    with style():
        panels, figure = _panels(len(entries))
        for axes, entry, label in zip(panels, entries, labels, strict=True):
            axes.stairs(_shares(entry.nonmember), entry.edges, fill=True, color=LINE, label="held out")
            axes.stairs(_shares(entry.member), entry.edges, color=CYCLE[1], linewidth=1.5, label="trained on")
            axes.set_title(label, fontsize=8)
            axes.set_yticks([])
            axes.locator_params(axis="x", nbins=3)
        legend(figure, _labelled(panels))
        return to_svg(figure, name, title, description)


def _panels(count: int) -> tuple[list[Axes], Drawing]:
    """Start a drawing with `count` small panels in rows of three, and a legend of two entries."""
    rows = -(-count // _COLUMNS)
    figure = drawing(1.1 * rows + 0.3, 2)
    # Heights have no labels, and what is read along one panel must not touch the next one's.
    figure.subplots_adjust(left=0.04, right=0.96, wspace=0.25)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    panels = [axes for row in grid for axes in row]
    for spare in panels[count:]:
        spare.set_visible(False)
    return panels[:count], figure


def _labelled(panels: Sequence[Axes]) -> dict[str, Artist]:
    """What a legend for all panels explains, each label once."""
    pairs = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    return {label: handle for handle, label in pairs}


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [count / total for count in counts]
