"""Rates of linkage over made-up pairs: people count, not the merges that they are in."""

from typing import Any

import pytest

from attacks.statistics import clopper_pearson
from prime_audit.results import Metric
from prime_audit.study.linking import linking_metrics


def pair(sharer: str, weight: float, *, named: bool) -> dict[str, Any]:
    return {"sharer": sharer, "weight": weight, "found": weight, "score": 9.0 * named, "named": named}


def merge(*pairs: dict[str, Any]) -> dict[str, Any]:
    return {"space": "exact", "unexplained": 0.0, "sharers": list(pairs)}


def figures(*merges: dict[str, Any]) -> dict[str, Metric]:
    return {m.id: m for m in linking_metrics({f"linkage/m/{i}": one for i, one in enumerate(merges)})}


def test_a_sharer_who_is_merged_often_counts_once() -> None:
    found = figures(
        merge(pair("ann", 0.5, named=True), pair("bob", 0.5, named=True), pair("eve", 0.0, named=False)),
        merge(pair("ann", 0.5, named=True), pair("bob", 0.0, named=False), pair("eve", 0.5, named=False)),
        merge(pair("ann", 0.5, named=False), pair("bob", 0.0, named=True), pair("eve", 0.0, named=False)),
    )
    # Ann is named in two of three, Bob in one of one, Eve in none of one.
    recall = found["linkage.recall"]
    assert recall.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    expected = clopper_pearson(5 / 3, 3)
    assert recall.ci is not None
    assert (recall.ci.low, recall.ci.high) == pytest.approx((expected.low, expected.high))
    # Bob is left out twice and named once, Eve twice and never.
    assert found["linkage.false_named"].value == pytest.approx(0.25)
    assert recall.n is not None
    assert (recall.n.members, recall.n.nonmembers, recall.n.users) == (5, 4, 3)


def test_without_a_sharer_left_out_there_is_no_false_naming() -> None:
    found = figures(merge(pair("ann", 1.0, named=True)))
    assert found["linkage.recall"].value == 1.0
    assert found["linkage.false_named"].status == "undefined"
    assert "sharers left out" in found["linkage.false_named"].reason
