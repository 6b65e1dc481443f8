import re
from typing import Any

import pytest

from prime_audit.report import searches
from prime_audit.report.sections import premise, search, weights
from prime_audit.report.source import Source
from prime_audit.report.words import ALPHA
from prime_audit.results import CI, Method, Metric, Results, Search, SearchPoint
from tests.report.merges import premise as premise_metrics


def point(u: float | None, s: float | None, *w: float, part: str = "search", items: int = 9) -> SearchPoint:
    return SearchPoint(w=w or (1.0, 0.5), u=u, s=s, part=part, items=items)


def entry(*points: SearchPoint, **more: object) -> Search:
    fixed = {"method": "prime", "target": "T1", "sharers": ("S1", "S2"), "points": points}
    return Search.model_validate({**fixed, **more})


def with_search(results: Results, *entries: Search) -> Source:
    return Source(results.model_copy(update={"search": entries}), {}, None)


POINTS = (
    point(0.4, 0.2, 0.0, 0.0),
    point(0.5, 0.9),
    point(0.9, 0.1, items=3),  # dropped early: measured on three items only
    point(0.6, 0.4, 0.3, 0.3),
    point(0.7, 0.9, 0.9, 0.9),
    point(1.0, 0.0, 0.3, 0.3, part="selection"),
)


def test_the_budget_buys_what_the_best_comparable_candidate_is_worth() -> None:
    assert searches.best_so_far(entry(*POINTS), 0.0) == (0.4, 0.5, 0.5, 0.6, 0.7)
    # U - 0.5 S: .30, .05, left out, .40, .25
    assert searches.best_so_far(entry(*POINTS), 0.5) == pytest.approx((0.3, 0.3, 0.3, 0.4, 0.4))
    assert searches.best_so_far(entry(point(None, 0.1), point(0.2, None)), 0.5) == (None, None)
    assert searches.best_so_far(entry(point(None, 0.1), point(0.2, None)), 0.0) == (None, 0.2)
    assert searches.base_value(entry(*POINTS), 0.5) == pytest.approx(0.3)
    assert searches.base_value(entry(*POINTS[1:]), 0.5) is None


def test_the_mean_over_targets_keeps_the_last_value_of_a_short_search() -> None:
    first, *rest = searches.mean_curve([(None, 0.2, 0.4), (0.0, 0.6)])
    assert first is None
    assert rest == pytest.approx([0.4, 0.5])
    assert searches.mean_curve([]) == ()


def test_the_front_holds_what_no_candidate_beats_in_both() -> None:
    pool = [
        point(0.5, 0.5),
        point(0.6, 0.5),
        point(0.4, 0.1),
        point(0.6, 0.7),
        point(0.9, 0.8),
        point(0.9, 0.8),
    ]
    assert searches.undominated([*pool, point(None, 0.0)]) == (2, 1, 4)


def test_another_alpha_chooses_among_the_evaluations_that_there_are() -> None:
    other = entry(point(0.2, 0.1, 0.0, 0.0), point(0.3, 0.6), target="T2")
    rows = searches.sweep([entry(*POINTS), other], (0.0, 0.2, 1.0))
    # alpha 0: (.7, .9) and (.3, .6); alpha .2: ties of .52 and .18, for (.6, .4) and (.2, .1); 1: the bases.
    assert [row.alpha for row in rows] == [0.0, 0.2, 1.0]
    assert [row.utility for row in rows] == pytest.approx([0.5, 0.4, 0.3])
    assert [row.similarity for row in rows] == pytest.approx([0.75, 0.25, 0.15])
    assert [row.base for row in rows] == [0, 1, 2]
    assert searches.sweep([entry(point(0.4, None))], (0.0,)) == ()


def test_a_star_stands_where_the_chosen_weights_were_searched() -> None:
    assert searches.deployed_point(entry(*POINTS, chosen=5)) == POINTS[3]
    assert searches.deployed_point(entry(*POINTS)) is None
    assert searches.deployed_point(entry(*POINTS[:3], POINTS[5], chosen=3)) is None


def test_shares_add_up_whatever_the_signs() -> None:
    assert searches.shares((0.3, -0.1)) == pytest.approx((0.75, 0.25))
    assert searches.shares((0.0, 0.0)) == ()
    assert searches.shares(()) == ()


@pytest.mark.parametrize(
    ("params", "alpha"), [({"alpha": 0.2}, 0.2), ({"l1": 0.05}, None), ({"alpha": True}, None)]
)
def test_the_penalty_is_the_methods_own_alpha(params: dict[str, Any], alpha: float | None) -> None:
    assert searches.penalty(params) == alpha


def test_weights_show_sharer_share_and_size() -> None:
    rows: Any = weights.heat("prime", [entry(weights=(0.3, -0.1), norm_ratio=0.4)])["rows"]
    (row,) = rows
    assert [(c["sharer"], c["weight"], c["percent"], c["sign"], c["shade"]) for c in row["cells"]] == [
        ("S1", "+0.30", "75 %", "plus", 55),
        ("S2", "\u22120.10", "25 %", "minus", 18),
    ]
    assert (row["ratio"], row["note"]) == ("0.40", "")
    back = weights.heat("prime", [entry(reverted=True, reason="too short", norm_ratio=0.0)])
    assert back["rows"] == [
        {"target": "T1", "cells": [], "ratio": "\u2013", "note": "reverted to the base: too short"}
    ]
    many = [entry(target=f"T{number}", weights=(1.0, 0.0)) for number in range(45)]
    assert weights.heat("prime", many)["left"] == 5


def test_what_was_deployed_counts_merged_targets_alone(results: Results) -> None:
    entries = (
        entry(weights=(0.5, 0.5), norm_ratio=0.6),
        entry(weights=(0.9, -0.3), norm_ratio=1.0, target="T2"),
        entry(reverted=True, reason="no gain", norm_ratio=0.0, target="T3"),
        entry(reverted=True, reason="no gain", norm_ratio=0.0, target="T4"),
        entry(reverted=True, norm_ratio=0.0, target="T5"),
    )
    source = with_search(results, *entries)
    # Equal shares are two sharers in effect, .75 and .25 are 1.6.
    assert weights.deployed_table(source).rows == (
        ("prime", "merging", "2 of 5", "0.80\n(0.60 to 1.00)", "0.62\n(0.50 to 0.75)", "1.8"),
    )
    reverts = weights.reverts_table(source)
    assert reverts is not None
    assert reverts.rows == (
        ("prime", "no gain", "T3, T4", "2 of 5"),
        ("prime", "no reason was recorded", "T5", "1 of 5"),
    )
    assert weights.reverts_table(with_search(results, entries[0])) is None


def test_notes_are_summed_up_over_targets(results: Results) -> None:
    entries = [
        entry(target=f"T{n}", notes={"svd_error": e, "optimiser": o, "warm": w, **more})
        for n, e, o, w, more in (
            (1, 0.1, "CMA", True, {}),
            (2, 0.4, "CMA", True, {}),
            (3, 0.2, "DE", False, {"scale": 2}),
        )
    ]
    table = weights.notes_table(with_search(results, *entries))
    assert table is not None
    assert table.rows == (
        ("prime", "svd_error", "0.1 / 0.2 / 0.4", "3 of 3"),
        ("prime", "optimiser", "CMA (\u00d72), DE (\u00d71)", "3 of 3"),
        ("prime", "warm", "yes (\u00d72), no (\u00d71)", "3 of 3"),
        ("prime", "scale", "2", "1 of 3"),
    )


def test_every_method_that_searched_is_drawn_with_its_own_objective(wide: Results) -> None:
    view = search.view(Source(wide, {}, None))
    assert view is not None
    figures: Any = view["figures"]
    assert [figure.id.split("-")[0] for figure in figures] == ["budget"] * 3 + ["front", "budget", "front"]
    by_title = {figure.title: figure for figure in figures}
    prime = by_title["What the budget of prime bought"]
    assert "the best U \u2212 0.1\u00b7S among them" in prime.description
    assert "48 candidates dropped by racing, measured on fewer items, count as evaluated" in prime.description
    assert "racing" not in by_title["What the budget of official bought"].description
    assert "the best U among them" in by_title["What the budget of lorahub bought"].description
    assert prime.table.rows[1][-5:] == ("40", "4", "0.500", "0.400", "selection")
    front = by_title["Utility against the privacy term, as prime saw it"]
    assert [row[0] for row in front.table.rows] == ["0", "0.05", "0.1", "0.2", "0.5", "1"]
    assert [row[-1] for row in front.table.rows] == ["", "", f"this study's {ALPHA}", "", "", ""]
    # A higher alpha never buys more of what it penalises, nor more utility.
    for column in (1, 2):
        values = [float(row[column]) for row in front.table.rows]
        assert values == sorted(values, reverse=True)
    assert max(path.count("h0") for path in re.findall(r' d="([^"]*)"', front.svg)) == 12 * (40 - 4)


def test_a_constant_privacy_term_draws_no_front(results: Results) -> None:
    flat = entry(point(0.4, 0.0, 0.0, 0.0), point(0.5, 0.0), weights=(1.0, 0.5))
    view = search.view(with_search(results, flat))
    assert view is not None
    figures: Any = view["figures"]
    assert [figure.title for figure in figures] == ["What the budget of prime bought"]


def test_many_methods_and_many_candidates_are_thinned_and_the_page_says_so(results: Results) -> None:
    prime = next(method for method in results.methods if method.id == "prime")
    methods = [prime.model_copy(update={"id": f"m{number}"}) for number in range(9)]
    points = tuple(point(0.4, 0.001 * number) for number in range(700))
    found = results.model_copy(
        update={
            "methods": (*results.methods, *methods),
            "search": tuple(entry(*points, method=method.id) for method in methods),
        }
    )
    view = search.view(Source(found, {}, None))
    assert view is not None
    figures: Any = view["figures"]
    assert len(figures) == 2 * 8
    assert view["undrawn"] == ["m8"]
    assert figures[1].description.endswith("One dot in 2 is drawn.")
    assert max(path.count("h0") for path in re.findall(r' d="([^"]*)"', figures[1].svg)) == 350


def test_controls_stand_below_their_method_and_audit_controls_apart(wide: Results) -> None:
    source = Source(wide, {}, None)
    order = [method.id for method in source.shown]
    assert order[-5:] == ["prime", "random-weights", "norm-matched", "rescaled", "official"]
    assert len(order) == 17
    assert [method.id for method in source.controls] == [
        "control-base",
        "control-own-module",
        "control-placebo",
    ]
    assert "rescaled" not in {method.id for method in source.methods}
    lone = Method(id="lone", kind="norm-matched", family="control", label="x", params={"of": "gone"})
    served = Metric(id="utility.primary", method="lone", value=0.5)
    more = wide.model_copy(update={"methods": (lone, *wide.methods), "metrics": (*wide.metrics, served)})
    assert Source(more, {}, None).shown[-1].id == "lone"


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (0.3, 0.1, "prime: yes, candidates with a lower S leak less (rank correlation +0.30, 0.20 to 0.40)."),
        (
            -0.3,
            0.1,
            "prime: no, candidates with a lower S leak more "
            "(rank correlation \u22120.30, \u22120.40 to \u22120.20).",
        ),
        (0.0, 0.1, "prime: it cannot be told (rank correlation +0.00, \u22120.10 to 0.10)."),
        (0.3, None, "prime: rank correlation +0.30, without an interval, so nothing can be said."),
    ],
)
def test_the_premise_is_answered_in_plain_words(
    results: Results, value: float, half: float | None, said: str
) -> None:
    ci = None if half is None else CI(low=value - half, high=value + half, how="t")
    metric = Metric(
        id="premise.rank_correlation", method="prime", value=value, ci=ci, slice={"given": "none"}
    )
    view = premise.view(Source(results.model_copy(update={"metrics": (metric,)}), {}, None))
    assert view is not None
    assert view["sentences"] == [said]


def test_the_premise_table_holds_what_is_held_fixed_and_every_target(results: Results) -> None:
    missing = Metric(
        id="premise.rank_correlation",
        method="uniform",
        value=None,
        status="undefined",
        reason="one candidate",
    )
    metrics = (*premise_metrics("prime"), missing)
    view = premise.view(Source(results.model_copy(update={"metrics": metrics}), {}, None))
    assert view is not None
    table: Any = view["table"]
    assert table.head == ("Method", "as it is", "norm and share held fixed")
    assert table.rows == (
        ("prime", "+0.31\n(0.19 to 0.43)", "+0.04\n(\u22120.08 to 0.16)"),
        ("uniform", "undefined\n(one candidate)", "\u2013"),
    )
    targets: Any = view["targets"]
    assert len(targets.rows) == 12
    assert targets.rows[0] == ("prime", "T01", "+0.13", "\u22120.14")
    sentences: Any = view["sentences"]
    assert sentences[0].endswith(
        "With norm and share held fixed: it cannot be told (rank correlation +0.04, \u22120.08 to 0.16)."
    )
    assert sentences[1] == "uniform: not measured (one candidate)."
    assert premise.view(Source(results.model_copy(update={"metrics": ()}), {}, None)) is None
