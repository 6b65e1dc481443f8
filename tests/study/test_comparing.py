import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.results import Metric
from prime_audit.study.comparing import compare


def figures(values: dict[str, list[float]]) -> dict[tuple[str, str | None, str | None], Metric]:
    arrays = {name: np.array(row) for name, row in values.items()}
    return {(m.id.removeprefix("utility."), m.method, m.reference): m for m in compare(arrays, Seeds(1))}


def test_known_answers() -> None:
    base = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    found = figures(
        {
            "a": base,
            "b": [x + 0.1 for x in base],
            "c": [x + d for x, d in zip(base, [0.3, -0.1] * 4, strict=True)],
        }
    )
    versus = found["versus", "b", "a"]
    # Equal differences say nothing of how far others would lie from them.
    assert (round(versus.value or 0, 9), versus.ci) == (0.1, None)
    assert versus.reason == "no interval: all 8 targets are equal"
    assert found["versus_p", "b", "a"].value == 2 / 256
    # 3 (a - b) and 1 (the rest): Holm takes the smallest of three times three.
    assert found["versus_holm", "b", "a"].value == pytest.approx(3 * 2 / 256)
    assert found["versus_holm", "b", "a"].reason == "3 pairs"
    assert found["versus", "c", "a"].value == pytest.approx(0.1)
    interval = found["versus", "c", "a"].ci
    assert interval is not None
    half = 2.3646243 * np.std([0.3, -0.1] * 4, ddof=1) / np.sqrt(8)
    assert (interval.low, interval.high) == pytest.approx((0.1 - half, 0.1 + half))
    ranks = {name: found["rank", name, None].value for name in "abc"}
    assert ranks == {"a": 2.5, "b": 1.5, "c": 2.0}
    assert found["rank", "b", None].direction == "lower"


def test_where_all_pairs_leave_nothing_to_find_those_with_the_base_are_tested() -> None:
    arrays = {name: np.arange(8) / 10 + 0.1 * place for place, name in enumerate(["base", *"abcdef"])}
    found = {(m.id, m.method, m.reference): m for m in compare(arrays, Seeds(1), "base")}
    holm = {
        pair: m
        for (name, *pair_), m in found.items()
        if name == "utility.versus_holm"
        for pair in [tuple(pair_)]
    }
    # 2 / 2^8 times 21 pairs is above .05, times 6 pairs it is not.
    tested = {pair for pair, m in holm.items() if m.value is not None}
    assert tested == {(name, "base") for name in "abcdef"}
    assert holm["a", "base"].value == pytest.approx(6 * 2 / 256)
    assert holm["a", "base"].reason == "6 pairs with base, the only ones corrected for"
    assert holm["b", "a"].reason == "undefined: 8 targets cannot show a difference among 21 pairs"
    assert found["utility.versus_p", "b", "a"].value == pytest.approx(2 / 256)
    # Without a base none is tested.
    alone = [m for m in compare(arrays, Seeds(1)) if m.id == "utility.versus_holm"]
    assert {m.status for m in alone} == {"undefined"}


def test_too_few_targets_are_not_tested() -> None:
    found = figures({"a": [0.1] * 5, "b": [0.2] * 5})
    for name in ("versus_p", "versus_holm"):
        assert found[name, "b", "a"].status == "undefined"
        assert found[name, "b", "a"].reason == "a test needs 6 targets, has 5"
    assert found["versus", "b", "a"].value == pytest.approx(0.1)


def test_methods_that_answer_alike_do_not_differ() -> None:
    found = figures({"a": [0.3] * 8, "b": [0.1 + 0.2] * 8})
    assert found["versus_p", "b", "a"].value == 1.0
    assert found["rank", "a", None].value == found["rank", "b", None].value == 1.5


def test_many_targets_are_resampled() -> None:
    one, other = np.random.default_rng(1).random((2, 25))
    interval = figures({"a": one.tolist(), "b": other.tolist()})["versus", "b", "a"].ci
    assert interval is not None
    assert interval.how == "bootstrap over 25 targets"


def test_equal_methods_are_seldom_told_apart_and_a_better_one_is_found() -> None:
    rng, runs, wrong, seen = np.random.default_rng(2), 120, 0, 0
    for seed in range(runs):
        shared = rng.normal(0.5, 0.1, 12)
        values = {name: shared + rng.normal(0, 0.05, 12) for name in "abcd"}
        null = [m.value for m in compare(values, Seeds(seed)) if m.id == "utility.versus_holm"]
        wrong += min(p for p in null if p is not None) <= 0.05
        values["d"] = values["d"] + 0.12
        found = compare(values, Seeds(seed))
        p = [m.value for m in found if m.id == "utility.versus_holm" and m.method == "d"]
        seen += all(value is not None and value <= 0.05 for value in p)
    assert wrong / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert seen / runs > 0.8
