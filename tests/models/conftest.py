import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from prime_audit.models import LanguageModel

_TOY = runpy.run_path(str(Path(__file__).with_name("toy.py")))


@pytest.fixture(scope="session")
def make_lm() -> Callable[..., LanguageModel]:
    """Makes another random model: ``make_lm(seed, max_tokens, **config)``."""
    make: Callable[..., LanguageModel] = _TOY["toy_language_model"]
    return make


@pytest.fixture(scope="session")
def lm(make_lm: Callable[..., LanguageModel]) -> LanguageModel:
    """The random model that tests share; nobody changes it."""
    return make_lm()
