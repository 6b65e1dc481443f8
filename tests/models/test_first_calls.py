"""No function of oneMKL is first called by several threads at once."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from prime_audit.config import ModelConfig
from prime_audit.models import embed, load_model
from prime_audit.models.first_calls import VECTOR_MATHS, settle_first_calls
from tests.support import ROOT

# PyTorch gives so many numbers to one thread.
ONE_THREADS = 2048


class Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes how many numbers each function of oneMKL is first called with, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.first: dict[tuple[str, torch.dtype], int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        found = func(*args, **(kwargs or {}))
        name = str(func).split(".")[1]
        if name in VECTOR_MATHS:
            self.first.setdefault((name, found.dtype), found.numel())
        return found


def test_every_function_is_called_once_with_few_numbers() -> None:
    with Sizes() as sizes:
        settle_first_calls.__wrapped__()
    wanted = {(name, dtype) for name in VECTOR_MATHS for dtype in (torch.float32, torch.float64)}
    assert sizes.first.keys() == wanted
    assert max(sizes.first.values()) < ONE_THREADS


def test_a_model_that_is_loaded_meets_no_first_call_of_many_numbers(tmp_path: Path) -> None:
    settle_first_calls.cache_clear()
    with Sizes() as sizes:
        lm = load_model(ModelConfig(base="tiny", device="cpu"), tmp_path)
        embed(lm, ["a story about rain " * 20] * 8)
    # Its rotary embedding takes sines and cosines of more numbers than that, which the second thread shares.
    assert sizes.first["sin", torch.float32] == sizes.first["cos", torch.float32] == 8
    assert max(sizes.first.values()) < ONE_THREADS


STORM = """\
import torch
from prime_audit.models.first_calls import VECTOR_MATHS, settle_first_calls
torch.set_num_threads(2)
settle_first_calls()
numbers = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
functions = [getattr(torch, name) for name in VECTOR_MATHS]
print([one.__name__ for one in functions if not torch.equal(one(numbers), one(numbers))])
"""


@pytest.mark.long
def test_first_calls_of_many_processes_at_once_are_those_of_later_calls() -> None:
    for _ in range(10):
        processes = [
            subprocess.Popen([sys.executable, "-c", STORM], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        assert [process.communicate(timeout=300)[0] for process in processes] == ["[]\n"] * 6
