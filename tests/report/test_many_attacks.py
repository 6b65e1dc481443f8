"""A study with many attacks: few columns beside a method, all of them in a table of their own."""

from html import unescape
from pathlib import Path

from prime_audit.report import render_console, render_html, render_markdown
from prime_audit.report.headline import headline
from prime_audit.report.sections import attacks, methods, roc
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, finding_sentence
from prime_audit.results import AttackInfo, Coverage, Curve, Finding, Method, Metric, N, Results, Study

NAMES = ["loss", "zlib", "reference", *(f"attack-{i}" for i in range(9))]


def run(names: list[str]) -> Source:
    listed = [Method(id=m, kind="uniform", family="merging", label=m) for m in ("one", "two")]
    metrics = [
        Metric(id="mia.auc", method=m.id, attack=name, subject="sharer", value=0.5 + 0.03 * place)
        for m in listed
        for place, name in enumerate(names)
        if (m.id, name) != ("two", "attack-8")
    ]
    curves = [
        Curve(method="one", attack=name, subject="sharer", fpr=(0.0, 1.0), tpr=(0.0, 1.0)) for name in names
    ]
    found = Results(
        status="complete",
        study=Study(
            name="s", task="lamp-4", seed=1, design="holdout", config_digest="d", primary="reference"
        ),
        methods=tuple(listed),
        attacks=tuple(
            AttackInfo(id=name, kind="membership", threat_model="A2", source="here", version=1)
            for name in names
        ),
        metrics=tuple(metrics),
        curves=tuple(curves),
        coverage=Coverage(requested=(), run=()),
    )
    return Source(found, {}, None)


def test_the_table_of_methods_keeps_five_attacks_the_primary_one_first() -> None:
    head = methods.methods_table(run(NAMES)).head
    assert [name for name in head if name.startswith("AUC")] == [
        "AUC reference",
        "AUC loss",
        "AUC zlib",
        "AUC attack-0",
        "AUC attack-1",
    ]


def test_the_table_of_methods_says_what_it_leaves_out() -> None:
    table = methods.methods_table(run(NAMES))
    place = table.head.index("largest AUC")
    assert [row[place] for row in table.rows] == ["0.830\nattack-8", "0.800\nattack-7"]
    view = methods.view(run(NAMES))
    assert view is not None
    assert view["more"] == 7
    assert "The other 7 attacks are in the table" in render_html(run(NAMES).results, {})
    few = methods.methods_table(run(NAMES[:5]))
    assert "largest AUC" not in few.head
    assert "attacks are in the table" not in render_html(run(NAMES[:5]).results, {})


def test_every_attack_has_a_row_in_a_table_of_its_own() -> None:
    view = attacks.view(run(NAMES))
    assert view is not None
    table = attacks.matrix(run(NAMES))
    assert table.head == ("Attack", "Threat", "one", "two")
    assert [row[0] for row in table.rows] == ["reference", *(name for name in NAMES if name != "reference")]
    assert {row[0]: row[2:] for row in table.rows}["attack-8"] == ("0.830", DASH)


def test_few_attacks_need_no_second_table() -> None:
    assert attacks.view(run(NAMES[:5])) is None


def test_curves_are_drawn_of_the_primary_attack_and_the_strongest() -> None:
    drawn = roc.strongest(run(NAMES))
    assert drawn == ("reference", "attack-8", "attack-7", "attack-6")
    view = roc.view(run(NAMES))
    assert view is not None
    figures = view["figures"]
    assert isinstance(figures, list)
    assert len(figures) == 4


def changed(metrics: dict[tuple[str, str], Metric], *findings: Finding) -> Source:
    """The run with some figures replaced; every figure counts as requested and run."""
    results = run(NAMES).results
    kept = tuple(metrics.get((str(m.method), str(m.attack)), m) for m in results.metrics)
    ids = tuple(f"{metric.method}/{metric.attack}" for metric in kept)
    update = {
        "metrics": kept,
        "findings": findings,
        "coverage": Coverage(requested=ids, run=ids),
    }
    return Source(results.model_copy(update=update), {}, None)


def auc(method: str, attack: str, value: float | None, users: int = 12, reason: str = "") -> Metric:
    status = "ok" if value is not None else "undefined"
    fields = {"id": "mia.auc", "method": method, "attack": attack, "subject": "sharer", "value": value}
    return Metric.model_validate({**fields, "status": status, "reason": reason, "n": N(users=users)})


def leak(method: str, attack: str) -> Finding:
    return Finding(method=method, subject="sharer", attack=attack, verdict="leak", p=0.0005)


def test_the_primary_figure_never_stands_for_the_largest_one() -> None:
    source = changed({}, leak("one", "reference"))
    figures = "primary attack reference: AUC 0.560; p < 0.001; largest: attack attack-8: AUC 0.830"
    assert finding_sentence(source, source.findings[0]).endswith(f"({figures})")
    assert "the attack reference picks the right one 56 times" in finding_sentence(source, source.findings[0])
    short = "primary attack reference: AUC 0.56; largest: attack attack-8: AUC 0.83"
    assert short in headline(source).detail
    assert figures in render_markdown(source.results, {})
    assert figures in unescape(render_html(source.results, {}))
    lines = render_console(source.results, None, Path("out"))
    assert short in lines[1]
    assert any(line.split() == ["one", "\u2013", "0.56", "leak", "0.83", "attack-8"] for line in lines)


def test_the_attack_of_a_finding_stands_beside_the_primary_one() -> None:
    sentence = finding_sentence(changed({}), leak("one", "zlib"))
    assert sentence.endswith(
        "(attack zlib: AUC 0.530; p < 0.001; primary attack reference: AUC 0.560; "
        "largest: attack attack-8: AUC 0.830)"
    )


def test_a_primary_attack_with_the_largest_figure_is_named_once() -> None:
    source = changed({("one", "reference"): auc("one", "reference", 0.9)})
    sentence = finding_sentence(source, leak("one", "reference"))
    assert sentence.endswith("(primary attack reference: AUC 0.900; p < 0.001)")


def test_the_case_with_the_largest_figure_of_any_attack_is_called_the_strongest() -> None:
    lower = {("two", "reference"): auc("two", "reference", 0.55), ("two", "zlib"): auc("two", "zlib", 0.99)}
    source = changed(lower, leak("one", "reference"), leak("two", "reference"))
    assert headline(source).detail.startswith("Strongest: two,")


def test_undefined_figures_are_explained_below_the_table_and_counted_apart() -> None:
    why = "it backed off on {} % of the records"
    source = changed(
        {
            ("one", "zlib"): auc("one", "zlib", None, reason=why.format(31)),
            ("two", "zlib"): auc("two", "zlib", None, reason=why.format(78)),
            ("one", "loss"): auc("one", "loss", None, reason="all scores are tied"),
        }
    )
    assert attacks.undefined(source) == (
        ("loss \u00d7 one", "all scores are tied"),
        ("zlib \u00d7 one, two", "it backed off on 31 to 78 % of the records"),
    )
    assert source.counts == {"run": 20, "undefined": 3, "failed": 0, "skipped": 0}
    page = render_html(source.results, {})
    assert "it backed off on 31 to 78 % of the records" in page
    assert "<dt>undefined</dt><dd>3</dd>" in page
    assert "23 requested, 20 run, 3 undefined" in render_markdown(source.results, {})
    assert "  coverage: 20 of 23 run, 3 undefined, 0 failed, 0 skipped" in render_console(
        source.results, None, Path("out")
    )


def test_a_figure_over_fewer_people_is_marked() -> None:
    source = changed(
        {
            ("one", "zlib"): auc("one", "zlib", 0.95, users=4),
            ("one", "loss"): auc("one", "loss", 0.6, users=12),
            ("two", "loss"): auc("two", "loss", 0.6, users=12),
            ("two", "zlib"): auc("two", "zlib", None, users=4, reason="all scores are tied"),
        }
    )
    rows = {row[0]: row[2:] for row in attacks.matrix(source).rows}
    assert rows["zlib"] == ("0.950\u2020", "?")
    assert rows["loss"] == ("0.600", "0.600")
    assert attacks.parts(source) == (("zlib \u00d7 one", "over 4 of the 12 people of the other figures"),)
    assert "over 4 of the 12 people" in render_html(source.results, {})
    assert finding_sentence(source, leak("one", "reference")).endswith(
        "largest: attack zlib: AUC 0.950, over 4 of 12 people)"
    )


def test_the_reasons_of_an_inconclusive_run_are_on_the_terminal() -> None:
    reasons = ("too few records", "no attack has a defined figure")
    findings = (
        Finding(method="one", subject="sharer", verdict="inconclusive", reason=reasons[0]),
        Finding(method="two", subject="sharer", verdict="inconclusive", reason=reasons[0]),
        Finding(method="one", subject="target", verdict="inconclusive", reason=reasons[1]),
    )
    lines = render_console(changed({}, *findings).results, None, Path("out"))
    assert lines[:2] == [
        "? Inconclusive: 3 of 3 audited cases",
        "  Too few records (one, two). No attack has a defined figure (one).",
    ]
