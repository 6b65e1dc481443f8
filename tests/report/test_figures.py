import re
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import pytest

from prime_audit.report.figures import PlanePoint, line_look, pareto, plane
from prime_audit.report.parts import Table
from prime_audit.report.sections import roc as roc_section
from prime_audit.report.sections.methods import methods_table
from prime_audit.report.sections.roc import _rate
from prime_audit.report.source import Source
from prime_audit.report.svg import _without_bare_groups, shorter
from prime_audit.results import Curve, Metric, Results


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


def test_no_two_of_twenty_four_curves_look_alike() -> None:
    looks = [line_look(index) for index in range(24)]
    assert len(set(looks)) == 24
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(looks))


def test_title_and_description_are_escaped() -> None:
    svg = plane("p", "<b>", "</svg>&", [point("a", 0.5, 0.6)])
    assert ">&lt;b&gt;</title>" in svg
    assert ">&lt;/svg&gt;&amp;</desc>" in svg


def test_a_rate_that_the_run_holds_is_not_read_off_the_thinned_curve(results: Results) -> None:
    curve = next(curve for curve in results.curves if curve.attack == "reference")
    fields = {"method": curve.method, "attack": "reference", "subject": curve.subject}
    known = Metric.model_validate({"id": "mia.tpr_at_fpr_0.1", "value": 0.777, **fields})
    unknown = {"value": None, "status": "undefined", "reason": "needs 300 non-member records"}
    none = Metric.model_validate({"id": "mia.tpr_at_fpr_0.01", **unknown, **fields})
    source = Source(results.model_copy(update={"metrics": (known, none)}), {}, None)
    assert [_rate(source, curve, rate) for rate in (0.1, 0.01)] == ["0.777", "\u2013"]


def test_a_control_about_two_subjects_has_two_curves_and_says_whose(results: Results) -> None:
    curve = next(curve for curve in results.curves if curve.attack == "reference")
    twin = curve.model_copy(update={"subject": "target" if curve.subject == "sharer" else "sharer"})
    both = Source(results.model_copy(update={"curves": (curve, twin)}), {}, None)
    found = roc_section.view(both)
    assert found is not None
    figures: Any = found["figures"]
    names = [row[0] for row in figures[0].table.rows]
    assert sorted(names) == [f"{curve.method} (sharers)", f"{curve.method} (targets)"]
    assert all(name in figures[0].svg for name in names)
    assert "strongest" not in figures[0].description


def test_rates_under_what_the_records_resolve_are_not_read(results: Results) -> None:
    curve = Curve(
        method="m", attack="a", fpr=(0.0, 0.05, 0.1, 1.0), tpr=(0.1, 0.2, 0.4, 1.0), resolvable_from=0.05
    )
    source = Source(results, {}, None)
    assert [_rate(source, curve, rate) for rate in (0.01, 0.05, 0.07, 0.1, 0.5)] == [
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
    assert list(rows) == ["base", "rag", "oppu", "uniform", "prime", "norm-matched"]
    assert rows["prime"][4] == "0.660\n(0.615 to 0.705)\nmerged only: 0.700\n(0.650 to 0.750)"
    assert rows["prime"][-1] == "2"
    assert re.fullmatch(r"0\.\d\d\nmerged only: 0\.\d\d", rows["prime"][-2])
    assert rows["norm-matched"][1] == "control of prime"
    assert table.badges == {"control of prime"}
    assert rows["base"][3:5] == ("\u2013", "\u2013")


def test_a_control_is_tied_to_its_method_and_every_label_is_drawn_once() -> None:
    method = point("a", 0.5, 0.6)
    control = PlanePoint("b", "control", 0.4, None, 0.7, None, of="a")
    with_tie, without = (
        plane("p", "Title", "Description", [method, entry])
        for entry in (control, PlanePoint("b", "control", 0.4, None, 0.7, None))
    )
    assert with_tie.count("<path") == without.count("<path") + 1
    assert [with_tie.count(f">{name}</text>") for name in ("a", "b")] == [1, 1]


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 1.5 2 L 3 2 L 3 4.5 L 5 6 ", "M1.5 2H3V4.5L5 6"),
        ("M 0 1 L 0 1 M 2 3 L 2 3 ", "M0 1h0M2 3h0"),
        ("M 0 0 L 0 0 L 1 0 L 1 0 L 2 1 ", "M0 0h0H1L2 1"),
        ("M 0 0 L 5 0 z M 1 1 C 1 2 3 4 5 6 L 5 7 ", "M0 0H5zM1 1C1 2 3 4 5 6V7"),
        ("", ""),
    ],
)
def test_paths_get_shorter_and_keep_their_shape(path: str, short: str) -> None:
    assert shorter(path) == short


def test_groups_without_attributes_go_and_the_others_stay() -> None:
    nested = '<g><g clip="x"><g><path/></g></g><g/></g><defs></defs>'
    assert _without_bare_groups(nested) == '<g clip="x"><path/></g>'
