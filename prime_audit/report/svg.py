"""Matplotlib figures as SVG inside the page: deterministic, themed by CSS, described for screen readers."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK = "#010203"
MUTED = "#6b6c6d"
LINE = "#c1c2c3"
SHADE = "#e1e2e3"
# Okabe and Ito's colours without yellow and black; the page defines each as a CSS variable, for light and
# dark.
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_CSS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    SHADE: "var(--shade)",
    **{colour: f"var(--c{index})" for index, colour in enumerate(CYCLE)},
}
LEGEND_COLUMNS = 2
# Inches: the width of a drawing, the room for labels around the axes, and a row of the legend.
_WIDTH = 4.2
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.66, 0.12, 0.5, 0.24
_ROW = 0.2
_LONG_NUMBER = re.compile(r"(\d\.\d)\d+")
# Comments, the page-wide style, the names of groups, fonts (the page's own is used), indentation and turns
# by nothing.
_DROPPED = re.compile(
    r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>"
    r"|(?<=<g) id=\"[^\"]*\"| font-family: [^;]*;|\n\s*(?=<)| transform=\"rotate\(-?0 [^\"]*\"",
    re.DOTALL,
)
_STYLES = re.compile(r'(?<= style=")[^"]*(?=")')
_PATH = re.compile(r'(?<= d=")[^"]*(?=")')
_STEP = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@contextmanager
def style() -> Iterator[None]:
    """Set the look of every figure for the time of drawing one; the caller's settings come back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def drawing(height: float, entries: int = 0) -> Drawing:
    """Start an empty drawing with room for labels, as wide as all of them.

    Args:
        height: Inches, without the legend.
        entries: How many entries the legend below the drawing will have.

    Returns:
        The drawing, which belongs to no window and to no global list.
    """
    below = _ROW * -(-entries // LEGEND_COLUMNS)
    full = height + below
    figure = Drawing(figsize=(_WIDTH, full))
    FigureCanvasSVG(figure)
    # Room of fixed size: asking Matplotlib what each label needs takes longer than drawing it.
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - _RIGHT / _WIDTH,
        bottom=(_BOTTOM + below) / full,
        top=1 - _TOP / full,
        wspace=0.08,
        hspace=0.9,
    )
    return figure


def legend(figure: Drawing, handles: Mapping[str, Artist]) -> None:
    """Write what the lines and marks mean below a drawing.

    Args:
        figure: A drawing with room for so many entries.
        handles: An example of each line or mark under its label.
    """
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="lower center",
        ncols=LEGEND_COLUMNS,
        borderaxespad=0.0,
        borderpad=0.2,
    )


def to_svg(figure: Drawing, name: str, title: str, description: str) -> Markup:
    """Turn a drawing into an SVG element; call it inside `style`.

    Args:
        figure: The drawing.
        name: A page-wide name; it prefixes every id, so that two figures cannot clash.
        title: The accessible name.
        description: The accessible description.

    Returns:
        The element. It is marked safe here and nowhere else: Matplotlib escapes the text it draws, the
        labels handed
        to it are ids of a checked alphabet, and title and description are escaped below.
    """
    mpl.rcParams["svg.hashsalt"] = name
    stream = io.StringIO()
    # `savefig` would draw twice, the first time only to lay out.
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)  # type: ignore[no-untyped-call]
    text = stream.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = _DROPPED.sub("", body)
    # Only inside of tags: what stands between them is text that the reader sees.
    body = re.sub("<[^>]*>", lambda tag: _LONG_NUMBER.sub(r"\1", " ".join(tag.group().split())), body)
    body = _without_bare_groups(_PATH.sub(lambda path: shorter(path.group()), body))
    body = _STYLES.sub(lambda rules: rules.group().replace(": ", ":").replace("; ", ";"), body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    for colour, variable in _CSS.items():
        body = body.replace(colour, variable)
    view = re.search(r'viewBox="[-0-9. ]+"', text)
    box = view.group() if view else ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box} '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return Markup(head + body)  # noqa: S704 - the one trusted piece of markup, see Returns


def shorter(path: str) -> str:
    """Write a path of the same shape in fewer characters.

    Args:
        path: The data of an SVG path with absolute coordinates, as Matplotlib writes it.

    Returns:
        The data with level lines as H, upright ones as V and a lone point as `h0`, which a round cap shows.
    """
    kept: list[str] = []
    x = y = ""
    for command, numbers in _STEP.findall(path):
        ends = numbers.split()
        if command == "L" and ends == [x, y]:
            kept += ["h0"] if kept[-1][0] == "M" else []
        elif command == "L" and ends[1] == y:
            kept.append(f"H{ends[0]}")
        elif command == "L" and ends[0] == x:
            kept.append(f"V{ends[1]}")
        else:
            kept.append(command + " ".join(ends))
        x, y = ends[-2:] if ends else ("", "")
    return "".join(kept)


def _without_bare_groups(body: str) -> str:
    """Drop the groups that carry no attribute: they change nothing."""
    bare: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        text = tag.group()
        if text.startswith("</"):
            return "" if bare.pop() else text
        bare.append(text == "<g>")
        return "" if bare[-1] else text

    return re.sub(r"<g>|<g [^>]*>|</g>", kept, re.sub(r"<g\s*/>|<defs></defs>|<defs\s*/>", "", body))
