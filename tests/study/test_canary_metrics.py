"""Ranks of planted secrets where a merge weight is negative, on made-up evidence."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.data import Canary, Item
from prime_audit.study.canary_metrics import Seen, _deviations, _extrapolated, seen_by_method
from prime_audit.study.parts import Part
from prime_audit.study.planting import Exposed

CANDIDATES = np.linspace(-60.0, -40.0, 1024)


def canary(name: str, user: str) -> Canary:
    return Canary(name, user, "code", 16, inserted=True, secret=name, item=Item(name, "a", "b"))


def bench(said: dict[str, list[float]]) -> SimpleNamespace:
    """A workbench of two carriers of one canary each; by unit what was said of them."""

    def parts(name: str) -> dict[str, Part]:
        canaries = np.array(said[name])
        zeros = np.zeros(len(canaries))
        found = {"candidates": CANDIDATES, "canaries": canaries, "secrets": canaries}
        found |= {"verbatim": zeros, "distance": zeros}
        return {f"{part}.code": value for part, value in found.items()}

    settings = SimpleNamespace(types=("code",), candidates=len(CANDIDATES))
    return SimpleNamespace(
        config=SimpleNamespace(audit=SimpleNamespace(canaries=settings)),
        canaries=SimpleNamespace(canaries={"a": (canary("one", "a"),), "b": (canary("two", "b"),)}),
        seeds=Seeds(1),
        parts=parts,
    )


@pytest.fixture
def seen() -> dict[str, Seen]:
    said = {"expose/control-base/all": [-50.0, -50.0], "expose/m/t": [-60.5, -60.5]}
    outputs = {
        "expose/m/t": {"users": ["a", "b"], "turned": ["b"]},
        "expose/control-base/all": {"users": ["a", "b"]},
    }
    found = seen_by_method(cast("Any", bench(said)), outputs)
    return {one.canary.user: one for one in found["m"]}


def test_what_a_merge_turns_over_is_ranked_from_the_other_end(seen: dict[str, Seen]) -> None:
    # The merge finds both less likely than any candidate; only b's module is in it with a negative weight.
    assert seen["b"].bits == pytest.approx(10)
    assert seen["a"].bits < 0.01
    assert seen["b"].picked == 1.0
    assert seen["a"].picked == 0.0


def test_it_stands_out_by_what_the_merge_changes_of_the_base(seen: dict[str, Seen]) -> None:
    changed = -10.5 / float(CANDIDATES.std(ddof=1))
    assert seen["a"].stands_out == pytest.approx(changed)
    assert seen["b"].stands_out == pytest.approx(-changed)


def shown(inserted: bool, beyond: tuple[float, ...] = (), unfitted: tuple[str, ...] = ()) -> Seen:
    item = Item("c", "a", "b")
    one = Canary("c", "a", "code", 16, inserted=inserted, secret=item.id, item=item)
    return Seen(one, 10.0 if beyond or unfitted else 1.0, beyond, unfitted, 0.0, 0.0, 1.0, 0.0, 0.0)


def test_extrapolated_bits_are_a_median_with_its_counts() -> None:
    inserted = [shown(True, (12.0,)), shown(True, (14.0,)), shown(True, (90.0,)), shown(True)]
    found = _extrapolated(inserted, [shown(False), shown(False, (11.0,))])
    assert found.value == 14.0
    assert found.reason.startswith("of 3 of 4 planted secrets")
    assert found.reason.endswith("1 of 2 never-planted ones do too")


def test_a_rejected_fit_gives_no_extrapolated_bits_and_says_why() -> None:
    found = _extrapolated([shown(True, (), ("at least 10 bits: not skew-normal",))], [shown(False)])
    assert found.value is None
    assert found.reason.startswith("undefined of 1 of 1 planted secrets")
    assert "not skew-normal" in found.reason


def test_nothing_stands_out_of_candidates_that_are_all_alike() -> None:
    ones = np.ones(3)
    exposed = Exposed(np.full(10, -5.0), np.array([-5.0, -4.0, -6.0]), ones, ones, ones)
    assert _deviations(exposed).tolist() == [0.0, 0.0, 0.0]
