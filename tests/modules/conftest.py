import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

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
    """Makes a random module of the shared model: ``make_module(seed, rank, alpha, rslora)``."""

    def make(
        seed: int, rank: int = 4, alpha: float = 8.0, rslora: bool = False, targets: str = "qkvo"
    ) -> LoraModule:
        generator = torch.Generator().manual_seed(seed)
        factors = {
            name: (
                torch.randn(rank, layer.in_features, generator=generator) * 0.3,
                torch.randn(layer.out_features, rank, generator=generator) * 0.3,
            )
            for name, layer in lm.model.named_modules()
            if name.endswith(tuple(f"{letter}_proj" for letter in targets)) and "self_attn" in name
        }
        return LoraModule(rank, alpha, rslora, factors)

    return make
