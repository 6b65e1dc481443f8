"""The order of the methods, every pair, the costs; and methods that are about two kinds of people."""

from typing import Any

import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.report import render_html
from prime_audit.report.sections import attacks, methods, plane, ranking
from prime_audit.report.source import Source
from prime_audit.report.words import aucs
from prime_audit.results import (
    AttackInfo,
    Coverage,
    Curve,
    Distribution,
    Finding,
    Method,
    Metric,
    Results,
    Study,
)
from prime_audit.study.comparing import compare

NAMES = ("base", "rag", "pooled")


def made(targets: int = 8) -> Source:
    rng = np.random.default_rng(1)
    shared = rng.normal(0.5, 0.1, targets)
    values = {
        name: shared + shift + rng.normal(0, 0.01, targets)
        for name, shift in zip(NAMES, (0.0, 0.05, 0.2), strict=True)
    }
    metrics = [Metric(id="utility.primary", method=n, value=float(v.mean())) for n, v in values.items()]
    metrics += compare(values, Seeds(1))
    for name, tokens in zip(NAMES, (0.0, 0.0, 12345.0), strict=True):
        metrics.append(Metric(id="cost.settings", method=name, value=0.0))
        metrics.append(Metric(id="cost.training_tokens", method=name, value=tokens))
    about: dict[str, Any] = {"method": "pooled", "attack": "loss"}
    figures = (("sharer", 0.6), ("target", 0.8))
    metrics += [Metric(id="mia.auc", subject=who, value=value, **about) for who, value in figures]  # type: ignore[arg-type]
    bins: dict[str, Any] = {"edges": (0.0, 1.0), "member": (1,), "nonmember": (1,)}
    results = Results(
        status="complete",
        study=Study(name="s", task="lamp-4", seed=1, design="holdout", config_digest="d", primary="loss"),
        methods=tuple(Method(id=n, kind=n, family="training", label=n) for n in NAMES),
        attacks=(AttackInfo(id="loss", kind="membership", threat_model="A2", source="here", version=1),),
        metrics=tuple(metrics),
        findings=tuple(
            Finding(method="pooled", subject=who, attack="loss", verdict="leak", p=0.001)  # type: ignore[arg-type]
            for who, _ in figures
        ),
        curves=tuple(Curve(subject=who, fpr=(0.0, 1.0), tpr=(0.0, 1.0), **about) for who, _ in figures),  # type: ignore[arg-type]
        distributions=tuple(Distribution(subject=who, **about, **bins) for who, _ in figures),  # type: ignore[arg-type]
        coverage=Coverage(requested=(), run=()),
    )
    return Source(results, {}, None)


def test_the_best_stands_first_and_the_others_beside_it() -> None:
    table = ranking.ranks_table(made())
    assert [row[0] for row in table.rows] == ["pooled", "rag", "base"]
    assert table.head[:5] == ("Method", "mean rank", "Utility", "against pooled", "p (Holm)")
    assert table.rows[0][1].startswith("1.00")
    assert table.rows[0][3:5] == ("\u2013", "\u2013")
    # The metric is pooled less base; the table says base less pooled, ends of the interval turned as well.
    difference, limits = table.rows[2][3].split("\n")
    assert difference.startswith("\u22120.")
    low, high = (float(end.replace("\u2212", "-")) for end in limits.strip("()").split(" to "))
    assert low <= float(difference.replace("\u2212", "-")) <= high < 0
    assert table.rows[2][4] == "p = 0.023"
    assert table.rows[0][-1] == "12,345"


def test_every_pair_is_listed_with_both_p_values() -> None:
    shown = ranking.view(made())
    assert shown is not None
    table: Any = shown["pairs"]
    assert {row[0] for row in table.rows} == {"rag \u2212 base", "pooled \u2212 base", "pooled \u2212 rag"}
    assert shown["sentence"] == "3 of 3 pairs differ at the 5 % level, corrected for all of them."


def test_too_few_targets_say_so() -> None:
    shown = ranking.view(made(targets=3))
    assert shown is not None
    assert shown["sentence"] == "No pair could be tested: a test needs 6 targets, has 3."


def test_a_run_without_comparisons_has_no_such_section(results: Results) -> None:
    assert ranking.view(Source(results, {}, None)) is None


def test_costs_stand_below_the_methods() -> None:
    shown = methods.view(made())
    assert shown is not None
    costs: Any = shown["costs"]
    assert costs.rows[2][:3] == ("pooled", "0", "12,345")


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        ((0, 0, 0), "no method tunes anything"),
        ((0, 0, 12), "pooled alone tunes (12 settings)"),
        ((0, 12, 12), "each of the 2 methods that tune compared 12 settings."),
        ((0, 1, 12.5), "the 2 methods that tune differ, from 1 setting (rag) to 12.5 settings (pooled)"),
    ],
)
def test_the_report_says_whether_efforts_are_equal(tried: tuple[float, ...], words: str) -> None:
    source = made()
    of = dict(zip(("base", "rag", "pooled"), tried, strict=True))
    metrics = tuple(m for m in source.results.metrics if m.id != "cost.settings")
    stated = tuple(Metric(id="cost.settings", method=name, value=value) for name, value in of.items())
    results = source.results.model_copy(update={"metrics": (*metrics, *stated)})
    assert words in methods.effort(Source(results, {}, None))
    assert words in render_html(results, {"seconds": {}})
    unstated = source.results.model_copy(update={"metrics": metrics})
    assert methods.effort(Source(unstated, {}, None)) == ""


class TestTwoSubjects:
    def test_the_table_of_methods_shows_both(self) -> None:
        rows = {row[0]: row for row in methods.methods_table(made()).rows}
        assert rows["pooled"][4] == "targets: 0.800\nsharers: 0.600"

    def test_each_finding_has_its_own_figure(self) -> None:
        source = made()
        texts = [aucs(source, "pooled", "loss", 2, finding.subject)[0] for finding in source.findings]
        assert texts == ["primary attack loss: AUC 0.60", "primary attack loss: AUC 0.80"]
        # One figure for both is the worse one.
        found = source.metric("mia.auc", "pooled", "loss")
        assert found is not None
        assert found.subject == "target"

    def test_attacks_and_planes_keep_them_apart(self) -> None:
        source = made()
        assert attacks.matrix(source).head[2:] == ("pooled (targets)", "pooled (sharers)")
        shown = plane.view(source)
        assert shown is not None
        figures: Any = shown["figures"]
        assert [figure.id for figure in figures] == ["plane-sharer", "plane-target"]
        leaks = [{row[0]: row[4] for row in figure.table.rows}["pooled"] for figure in figures]
        assert leaks == ["0.600", "0.800"]

    def test_the_page_is_made(self) -> None:
        page = render_html(made().results, {"seconds": {}})
        assert page.count("pooled (targets)") >= 3


@pytest.mark.parametrize("name", ["utility.versus", "utility.rank"])
def test_comparisons_are_no_raw_utility(name: str) -> None:
    shown = methods.view(made())
    assert shown is not None
    assert shown["raw"] is None
    assert any(metric.id == name for metric in made().results.metrics)


def test_seconds_come_from_the_manifest_and_are_a_dash_without_it() -> None:
    source = made()
    table = (methods.view(source) or {})["costs"]
    assert [row[-1] for row in getattr(table, "rows")] == ["\u2013"] * 3  # noqa: B009
    timed = Source(source.results, {"seconds_by_method": {"base": 0.25, "pooled": 12}}, None)
    rows = getattr((methods.view(timed) or {})["costs"], "rows")  # noqa: B009
    assert [row[-1] for row in rows] == ["0.2", "\u2013", "12.0"]


def test_where_only_pairs_with_the_base_are_tested_the_others_stand_beside_it() -> None:
    values = {name: np.arange(8) / 10 + 0.1 * place for place, name in enumerate(["base", *"abcdef"])}
    source = made()
    metrics = tuple(compare(values, Seeds(1), "base"))
    methods_ = tuple(Method(id=n, kind=n, family="training", label=n) for n in values)
    few = Source(source.results.model_copy(update={"metrics": metrics, "methods": methods_}), {}, None)
    table = ranking.ranks_table(few)
    assert table.rows[0][0] == "f"
    assert table.head[3] == "against base"
    assert [row[4] for row in table.rows] == ["p = 0.047"] * 6 + ["\u2013"]
