"""Ranks of planted secrets where a merge weight is negative, on made-up evidence."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.data import Canary, Item
from prime_audit.study.canary_metrics import Seen, seen_by_method
from prime_audit.study.parts import Part

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
