import copy
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from prime_audit.models import LanguageModel
from prime_audit.modules import LoraModule

_TOY = runpy.run_path(str(Path(__file__).parents[1] / "models" / "toy.py"))


@pytest.fixture(scope="session")
def make_lm() -> Callable[..., LanguageModel]:
    """Makes another random model: ``make_lm(seed, max_tokens, **config)``."""
    make: Callable[..., LanguageModel] = _TOY["toy_language_model"]
    return make


@pytest.fixture(scope="session")
def lm(make_lm: Callable[..., LanguageModel]) -> LanguageModel:
    """The random model that tests share; nobody changes it."""
    return make_lm()


@pytest.fixture(scope="session")
def make_module(lm: LanguageModel) -> Callable[..., LoraModule]:
    """Makes a random module of the shared model: ``make_module(seed, rank, alpha, ...)``."""

    def make(
        seed: int,
        rank: int = 4,
        alpha: float = 8.0,
        rslora: bool = False,
        targets: str = "qkvo",
        size: float = 0.3,
    ) -> LoraModule:
        generator = torch.Generator().manual_seed(seed)
        factors = {
            name: (
                torch.randn(rank, layer.in_features, generator=generator) * size,
                torch.randn(layer.out_features, rank, generator=generator) * size,
            )
            for name, layer in lm.model.named_modules()
            if name.endswith(tuple(f"{letter}_proj" for letter in targets)) and "self_attn" in name
        }
        return LoraModule(rank, alpha, rslora, factors)

    return make


def _dense(modules: Sequence[LoraModule], weights: ArrayLike, space: str) -> dict[str, torch.Tensor]:
    table = np.asarray(weights, dtype=np.float64)
    changes = {}
    for place, name in enumerate(sorted(modules[0].factors)):
        column = table[:, place] if table.ndim == 2 else table
        total_a = total_b = total = torch.zeros(())
        for weight, module in zip(column.tolist(), modules, strict=True):
            a, b = (factor.double() for factor in module.factors[name])
            total = total + weight * module.scaling * (b @ a)
            if space == "factor":
                total_a = total_a + weight * module.scaling**0.5 * a
                total_b = total_b + weight * module.scaling**0.5 * b
        changes[name] = total if space == "exact" else total_b @ total_a
    return changes


@pytest.fixture(scope="session")
def dense_change() -> Callable[..., dict[str, torch.Tensor]]:
    """Forms ΔW per layer in float64, straight from the definition: ``dense_change(modules, weights, space)``.

    Weights per layer follow the sorted names; models of up to ten layers have no other order.
    """
    return _dense


def _with_change(lm: LanguageModel, changes: dict[str, torch.Tensor]) -> LanguageModel:
    model = copy.deepcopy(lm.model)
    with torch.no_grad():
        for name, change in changes.items():
            weight = model.get_parameter(f"{name}.weight")
            weight.copy_((weight.double() + change).float())
    return replace(lm, model=model)


@pytest.fixture(scope="session")
def with_change() -> Callable[[LanguageModel, dict[str, torch.Tensor]], LanguageModel]:
    """Copies a model and adds dense changes to the copy's weights: ``with_change(lm, changes)``."""
    return _with_change
