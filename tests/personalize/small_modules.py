"""A context with three random modules of two layers, for methods that merge without asking a model."""

from collections.abc import Mapping
from typing import Any

import torch

from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, User
from prime_audit.modules import LoraModule
from prime_audit.personalize import Outcome, TargetContext

SHARERS = ("a", "b", "c")
COSINES = {"a": 0.9, "b": 0.5, "c": -0.2}
SHAPES = {"first": (6, 10), "second": (12, 8)}


def small_module(seed: int, rank: int = 2) -> LoraModule:
    generator = torch.Generator().manual_seed(seed)
    factors = {
        name: (
            torch.randn(rank, d_in, generator=generator),
            torch.randn(d_out, rank, generator=generator),
        )
        for name, (d_out, d_in) in SHAPES.items()
    }
    return LoraModule(rank, 2.0 * rank, False, factors)


MODULES = {name: small_module(seed, rank=seed + 1) for seed, name in enumerate(SHARERS)}


def small_context(
    seed: int = 1, others: Mapping[str, Outcome] | None = None, history: int = 4, task: str = "lamp-4"
) -> TargetContext:
    items = tuple(Item(str(i), f"text {i}", f"answer {i}") for i in range(history))
    unread: Any = object()
    return TargetContext(
        TASKS[task],
        User("t", "target", items, ()),
        base=unread,
        seeds=Seeds(seed),
        sharers=SHARERS,
        similarity=COSINES,
        module=MODULES.__getitem__,
        others=others or {},
    )
