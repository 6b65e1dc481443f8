"""A crafted module, on made-up factors; and the pairing of victims, on made-up exposures."""

import numpy as np
import pytest
import torch

from prime_audit.data import Canary, Item
from prime_audit.modules import LoraModule
from prime_audit.study.canary_metrics import Seen
from prime_audit.study.malicious import craft
from prime_audit.study.malicious_metrics import _arm, _beyond, _pairs

LAYERS = ("l0", "l1")


def module(seed: int) -> LoraModule:
    draw = torch.Generator().manual_seed(seed)
    factors = {
        layer: (torch.randn(2, 9, generator=draw), torch.randn(7, 2, generator=draw)) for layer in LAYERS
    }
    return LoraModule(2, 4.0, False, factors)


def dense(one: LoraModule, layer: str) -> torch.Tensor:
    a, b = one.factors[layer]
    return one.scaling * (b @ a)


@pytest.mark.parametrize("honest", [0, 1, 3])
def test_an_average_with_the_crafted_module_is_the_victims_own(honest: int) -> None:
    victim, others = module(1), [module(2 + place) for place in range(honest)]
    crafted = craft(victim, others)
    for layer in LAYERS:
        merged = sum(dense(one, layer) for one in (victim, *others, crafted)) / (2 + honest)
        torch.testing.assert_close(merged, dense(victim, layer), atol=1e-5, rtol=1e-5)


def test_a_crafted_module_can_be_cut_to_the_rank_that_a_method_asks_for() -> None:
    assert craft(module(1), [module(2)], rank=2).rank == 2


def seen(user: str, bits: float, *, inserted: bool) -> Seen:
    item = Item("c", "a", "b")
    one = Canary(f"{user}-{bits}", user, "code", 4, inserted=inserted, secret=item.id, item=item)
    return Seen(one, bits, (), (), 0.0, 0.0, 1.0, 0.0, 0.0)


def person(user: str, planted: float, never: float) -> list[Seen]:
    return [seen(user, planted, inserted=True), seen(user, never, inserted=False)]


def test_a_victims_merges_are_averaged_before_people_are() -> None:
    pairs = _pairs(
        {
            "ann": [(person("ann", 5, 1), person("ann", 2, 1)), (person("ann", 7, 1), person("ann", 2, 1))],
            "bob": [(person("bob", 2, 1), person("bob", 2, 1))],
            "eve": [([seen("eve", 2, inserted=True)], person("eve", 2, 1))],
        }
    )
    # Eve has no secret that was never planted.
    assert pairs == {"ann": (5.0, 1.0), "bob": (1.0, 1.0)}
    gain = {m.id: m for m in _arm("m", "module", pairs, person("ann", 5, 1))}["malicious.gain"]
    assert gain.value == 2.0
    assert gain.n is not None
    assert gain.n.users == 2
    assert gain.ci is None
    assert "people" in gain.reason
    assert _beyond([seen("eve", 2, inserted=True)]) is None


def misses(rounds: int) -> int:
    """How often the interval of an attack that does nothing leaves out zero, for eight victims."""
    rng = np.random.default_rng(3)
    count = 0
    for _ in range(rounds):
        pairs = {str(user): tuple(rng.normal(size=2)) for user in range(8)}
        found = {m.id: m for m in _arm("m", "module", pairs, [])}["malicious.gain"]
        assert found.ci is not None
        count += not found.ci.low <= 0 <= found.ci.high
    return count


def test_an_attack_that_does_nothing_seldom_gains() -> None:
    assert misses(50) <= 7


@pytest.mark.long
def test_an_attack_that_does_nothing_gains_in_one_of_twenty() -> None:
    assert misses(1000) <= 73
