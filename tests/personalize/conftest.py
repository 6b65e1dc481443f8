import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, Task, User
from prime_audit.models import LanguageModel
from prime_audit.modules import LoraModule
from prime_audit.personalize import Calibration, TargetContext

_TOY = runpy.run_path(str(Path(__file__).parents[1] / "models" / "toy.py"))
SHARERS = ("a", "b", "c")


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    """A random two-layer Llama that tests share; nobody changes it."""
    make: Callable[..., LanguageModel] = _TOY["toy_language_model"]
    return make()


@pytest.fixture(scope="session")
def modules(lm: LanguageModel) -> dict[str, LoraModule]:
    """One random module of the shared model per sharer."""
    found = {}
    for seed, sharer in enumerate(SHARERS):
        generator = torch.Generator().manual_seed(seed)
        factors = {
            name: (
                torch.randn(2, layer.in_features, generator=generator) * 0.5,
                torch.randn(layer.out_features, 2, generator=generator) * 0.5,
            )
            for name, layer in lm.model.named_modules()
            if name.endswith(("q_proj", "v_proj"))
        }
        found[sharer] = LoraModule(rank=2, alpha=4.0, rslora=False, factors=factors)
    return found


@pytest.fixture(scope="session")
def tasks() -> dict[str, Task]:
    """One small task of each kind."""
    text = replace(TASKS["lamp-4"], max_new_tokens=6)
    return {"text": text, "number": TASKS["lamp-3"], "choice": replace(TASKS["lamp-2"], labels=("x", "y"))}


@pytest.fixture(scope="session")
def make_context(
    lm: LanguageModel, modules: dict[str, LoraModule], tasks: dict[str, Task]
) -> Callable[..., TargetContext]:
    """Makes a target's context: ``make_context(kind, items=10, calibration=False)``."""

    def make(kind: str = "text", items: int = 10, *, calibration: bool = False) -> TargetContext:
        task = tasks[kind]
        answers = task.labels or ("plain words", "other words", "more")
        history = tuple(Item(str(i), f"text {i}", answers[i % len(answers)]) for i in range(items))

        def calibrated(user: str) -> Calibration:
            records = tuple(Item(f"{user}{i}", f"{user} {i}", answers[i % len(answers)]) for i in range(5))
            return Calibration(records[:2], records[2:])

        return TargetContext(
            task,
            User("t", "target", history, ()),
            base=lm,
            seeds=Seeds(1),
            sharers=SHARERS,
            similarity={"a": 0.3, "b": 0.1, "c": -0.2},
            module=lambda user: modules[user],
            calibration=calibrated if calibration else None,
        )

    return make
