"""The test of planted secrets: its size, its power, its alarm and its words."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from prime_audit.config import CanaryType
from prime_audit.core import Seeds
from prime_audit.data import Canary, Item
from prime_audit.results import Finding
from prime_audit.study.canary_findings import canary_findings
from prime_audit.study.canary_metrics import Seen
from prime_audit.study.workbench import Workbench

OWN, BASE = "control-own-module", "control-base"
TYPES: tuple[CanaryType, ...] = ("email", "code")


def bench(seed: int, draws: int = 1000) -> Workbench:
    audit = SimpleNamespace(permutations=draws)
    return cast("Workbench", SimpleNamespace(config=SimpleNamespace(audit=audit), seeds=Seeds(seed)))


def planted(seed: int, effect: float = 0.0, base: float = 0.0, per_cell: int = 12) -> dict[str, list[Seen]]:
    """What two merges, the own modules and the base show; the effect grows with the repetitions."""
    rng = np.random.default_rng(seed)
    canaries = [
        Canary(f"{kind}-{times}-{i}", "ann", kind, times, bool(rng.integers(2)), "s", Item("i", "a", "b"))
        for kind in TYPES
        for times in (1, 16)
        for i in range(per_cell)
    ]

    def said(strength: float, shared: np.ndarray) -> list[Seen]:
        return [
            Seen(one, 0.0, (), (), 0.0, 0.0, 1.0, 0.0, float(noise) + strength * one.inserted)
            for one, noise in zip(canaries, shared, strict=True)
        ]

    noise = rng.normal(size=len(canaries))
    return {
        BASE: said(base, rng.normal(size=len(canaries))),
        OWN: said(effect, noise),
        "uniform": said(effect, noise + rng.normal(size=len(canaries))),
        "prime": said(0.0, rng.normal(size=len(canaries)))[: len(canaries) // 2],
    }


def by_method(found: list[Finding]) -> dict[str, Finding]:
    return {finding.method: finding for finding in found}


def rejections(rounds: int) -> int:
    """How often one of two methods that learnt nothing is said to leak."""
    count = 0
    for seed in range(rounds):
        found = by_method(canary_findings(bench(seed, 199), planted(seed)))
        count += any(found[method].verdict == "leak" for method in ("uniform", "prime"))
    return count


def test_nothing_planted_is_found_in_few_of_fifty_runs() -> None:
    assert rejections(50) <= 7


@pytest.mark.long
def test_nothing_planted_is_found_in_one_of_twenty_runs() -> None:
    assert rejections(1000) <= 73


def test_what_stands_out_is_found_and_named() -> None:
    found = by_method(canary_findings(bench(1), planted(1, effect=3.0, per_cell=30)))
    assert found["uniform"].verdict == found[OWN].verdict == "leak"
    assert (found["uniform"].attack, found["uniform"].subject) == ("exposure", "sharer")
    assert found["uniform"].reason.startswith("secrets that were planted ")
    assert found["prime"].verdict == "none detected"
    assert 0.5 < (found["prime"].could_have_seen or 0) < 1


def test_a_base_that_knows_them_is_an_alarm() -> None:
    found = by_method(canary_findings(bench(1), planted(1, effect=3.0, base=5.0)))
    assert found["uniform"].verdict == "inconclusive"
    assert "control-base departs" in found["uniform"].reason
    assert BASE not in found


def test_too_few_secrets_say_nothing() -> None:
    found = by_method(canary_findings(bench(1), planted(1, effect=9.0, per_cell=1)))
    assert found["uniform"].verdict == "inconclusive"
    assert "plant" in found["uniform"].reason


def test_the_same_seed_gives_the_same_findings() -> None:
    first, second = (canary_findings(bench(3), planted(3, effect=1.0)) for _ in range(2))
    assert first == second


def test_nothing_planted_gives_no_finding() -> None:
    assert canary_findings(bench(1), {}) == []
