import matplotlib as mpl

from prime_audit.report.figures import PlanePoint, pareto, plane
from prime_audit.report.parts import Table
from prime_audit.report.sections import search as search_section
from prime_audit.report.sections.methods import methods_table
from prime_audit.report.sections.roc import _rate
from prime_audit.report.source import Source
from prime_audit.results import Curve, Results


def point(name: str, utility: float, leak: float | None, family: str = "merging") -> PlanePoint:
    return PlanePoint(name, family, utility, None, leak, None)


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    points = [
        point("a", 0.5, 0.55),
        point("b", 0.4, 0.60),
        point("c", 0.7, 0.65),
        point("d", 0.7, 0.66),
        point("quiet", 0.9, None),
        point("upside-down", 0.8, 0.2),
        point("control", 0.95, 0.5, "control"),
    ]
    assert [entry.id for entry in pareto(points)] == ["a", "c", "upside-down"]


def test_a_drawing_is_themed_by_the_page_and_leaves_no_trace_in_matplotlib() -> None:
    mpl.rcParams["font.size"] = 13
    first = plane("p", "Title", "Description", [point("a", 0.5, 0.6), point("b", 0.4, None, "prompt")])
    assert mpl.rcParams["font.size"] == 13
    mpl.rcParams["font.size"] = 10
    assert (
        plane("p", "Title", "Description", [point("a", 0.5, 0.6), point("b", 0.4, None, "prompt")]) == first
    )
    assert "var(--c2)" in first
    assert "currentColor" in first
    assert ">a</text>" in first
    assert "#0" not in first.replace('"#', "").replace("url(#", "")


def test_title_and_description_are_escaped() -> None:
    svg = plane("p", "<b>", "</svg>&", [point("a", 0.5, 0.6)])
    assert ">&lt;b&gt;</title>" in svg
    assert ">&lt;/svg&gt;&amp;</desc>" in svg


def test_rates_under_what_the_records_resolve_are_not_read() -> None:
    curve = Curve(
        method="m", attack="a", fpr=(0.0, 0.05, 0.1, 1.0), tpr=(0.1, 0.2, 0.4, 1.0), resolvable_from=0.05
    )
    assert [_rate(curve, rate) for rate in (0.01, 0.05, 0.07, 0.1, 0.5)] == [
        "\u2013",
        "0.200",
        "0.200",
        "0.400",
        "0.400",
    ]


def test_methods_table_pairs_the_primary_attack_first_and_shows_merged_targets(results: Results) -> None:
    table = methods_table(Source(results, {}, None))
    assert isinstance(table, Table)
    assert table.head[4:9] == ("AUC reference", "AUC loss", "AUC zlib", "AUC min-k", "AUC min-k++")
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["base", "rag", "oppu", "uniform", "prime"]
    assert rows["prime"][4] == "0.660\n(0.615 to 0.705)\nmerged only: 0.700\n(0.650 to 0.750)"
    assert rows["prime"][-1] == "2"
    assert rows["base"][3:5] == ("\u2013", "\u2013")


def test_weights_are_those_of_the_chosen_merge(results: Results) -> None:
    entry = next(entry for entry in results.search if entry.method == "prime" and not entry.reverted)
    shown = search_section._weights(entry)
    chosen = entry.points[entry.chosen or 0].w
    cells = shown["cells"]
    assert isinstance(cells, list)
    assert [cell["weight"] for cell in cells] == [
        f"{weight:+.2f}".replace("-", "\u2212") for weight in chosen
    ]
    assert max(cell["share"] for cell in cells) == 55
