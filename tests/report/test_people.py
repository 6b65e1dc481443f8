"""The tables about people: linkage from likelihoods, and attributes."""

from typing import Any

from prime_audit.report.html import render_html
from prime_audit.report.sections import attributes, black_box, linkage, linking
from prime_audit.report.source import Source
from prime_audit.results import CI, Coverage, Method, Metric, N, Results, SliceValue, Study


def metric(
    name: str, value: float | None, reason: str = "", method: str | None = "uniform", **part: SliceValue
) -> Metric:
    ci = CI(low=value - 0.1, high=value + 0.1, how="t") if name == "linkage.black_box.auc" and value else None
    return Metric(
        id=name,
        method=method,
        adversary="A2",
        subject="sharer",
        value=value,
        status="undefined" if value is None else "ok",
        reason=reason,
        ci=ci,
        slice=part,
        n=N(attempted=7, scored=6, failed=0, users=6),
    )


def source(*metrics: Metric) -> Source:
    results = Results(
        status="complete",
        study=Study(name="small", task="lamp-4", seed=1, design="holdout", config_digest="0" * 64),
        methods=(Method(id="uniform", kind="uniform", family="merging", label="Uniform"),),
        metrics=metrics,
        coverage=Coverage(requested=(), run=()),
    )
    return Source(results, {}, None)


LINKED = (
    metric("linkage.black_box.auc", 0.8, score="trained"),
    metric("linkage.black_box.auc", 0.7, score="difference"),
    metric("linkage.black_box.auc", 1.0, score="similarity"),
    metric("linkage.black_box.adjusted_auc", None, "undefined: separated", score="difference"),
    metric("linkage.black_box.learnt", 0.4),
    metric("linkage.black_box.gain", 1.5, score="difference", sharers="merged"),
    metric("linkage.black_box.gain", -0.25, score="difference", sharers="others"),
)


def rows(found: Source) -> list[tuple[str, ...]]:
    return list(getattr((black_box.view(found) or {})["table"], "rows"))  # noqa: B009


def test_every_score_has_a_row_with_similarity_beside_it() -> None:
    found = rows(source(*LINKED))
    assert [row[1] for row in found] == [
        "gain on trained records",
        "gain on held-out records",
        "trained less held-out",
        "similarity alone, no model",
    ]
    assert found[2] == (
        "uniform",
        "trained less held-out",
        "0.70\n(0.60 to 0.80)",
        "undefined\n(separated)",
        "+1.50",
        "−0.25",  # noqa: RUF001
        "–",  # noqa: RUF001
        "+0.40",
        "6 of 7",
    )


def test_likelihoods_alone_make_no_section_about_adapters() -> None:
    found = source(*LINKED)
    assert linkage.view(found) is None
    assert linking.view(found) is None
    page = render_html(found.results, {}, None)
    assert "Are sharers recognised by likelihood?" in page
    assert "Are sharers recognised in the adapters?" not in page
    assert "The control without-sharer would show" in page
    assert "negative weight stand apart" not in page


def test_turned_sharers_and_merges_without_them_are_explained() -> None:
    more = (
        metric("linkage.black_box.auc", 0.2, score="trained", sharers="turned"),
        metric("linkage.black_box.gain", 0.3, score="trained", sharers="without"),
    )
    found = source(*LINKED, *more)
    page = render_html(found.results, {}, None)
    assert "negative weight stand apart" in page
    assert "merges made again without each of them" in page
    assert rows(found)[0][2] == "0.80\n(0.70 to 0.90)"
    assert rows(found)[0][6] == "+0.30"


def test_attributes_name_their_source_and_the_most_frequent_one() -> None:
    part: dict[str, Any] = {"attribute": "family", "from": "modules"}
    weights: dict[str, Any] = {"attribute": "family", "from": "weights"}
    found = source(
        metric("attribute.accuracy", 0.75, method=None, **part),
        metric("attribute.majority", 0.25, method=None, **part),
        metric("attribute.p_holm", 0.0004, method=None, **part),
        metric("attribute.accuracy", None, "undefined: the weights are the same", **weights),
        metric("attribute.majority", None, "undefined: the weights are the same", **weights),
    )
    view = attributes.view(found) or {}
    shown = [row for name in ("table", "by_method") for row in getattr(view[name], "rows")]  # noqa: B009
    assert len(getattr(view["table"], "rows")) == 1  # noqa: B009
    family = "family of a generated user"
    assert shown[0] == (
        family,
        "sharer, from the module",
        "every one",
        "0.75",
        "0.25",
        "p < 0.001",
        "6 of 7",
    )
    assert shown[1][:4] == (
        family,
        "target, from the weights alone",
        "uniform",
        "undefined\n(the weights are the same)",
    )
    assert shown[1][4:6] == ("–", "–")  # noqa: RUF001
    assert "What kind of person is it?" in render_html(found.results, {}, None)


def test_without_figures_there_are_no_sections() -> None:
    empty = source()
    assert black_box.view(empty) is None
    assert attributes.view(empty) is None
