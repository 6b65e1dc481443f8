"""What is computed depends neither on what was computed before nor, but for rounding, on threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from prime_audit.core import Seeds
from prime_audit.models import Batching, score_tokens
from prime_audit.study.executor import InProcess
from prime_audit.study.units import Output, Outputs, Unit
from prime_audit.study.work import train
from tests.study.test_executors import Made, opened

# Sums over other parts of an array are rounded otherwise, and training carries that on: a log-probability of
# about -10 moves by two or three steps of float32 (2.4e-6 was measured).
TOLERANCE = 1e-5


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def draw(outputs: Outputs) -> Output:
    return {"drawn": torch.rand(3).tolist()}


def carried_out(name: str) -> Output | None:
    executor = InProcess(Seeds(7), Batching())
    executor.submit(Unit(name, name, name, draw), {})
    return executor.wait().output


def test_torchs_generator_is_seeded_for_each_unit_and_put_back() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = carried_out("one")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert carried_out("one") == first
    assert carried_out("two") != first


def trained(made: Made) -> tuple[bytes, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """The bytes of a module, and how a model scores a history."""
    bench, units = made
    user = bench.dataset.sharers[0].id
    for unit in units:
        if unit.name in ("adapt", f"train/{user}"):
            unit.run({})
    assert train(bench, user)["reused"]
    written = bench.store.path(bench.keys[f"train/{user}"]) / "adapter_model.safetensors"
    return written.read_bytes(), score_tokens(bench.base, bench.examples(user)).logp


def test_equal_threads_give_equal_bits_and_others_equal_figures(tmp_path: Path) -> None:
    found = []
    for number, count in enumerate((1, 1, 2)):
        with threads(count):
            found.append(trained(opened(tmp_path / str(number))))
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1], found[1][1])
    np.testing.assert_allclose(found[2][1], found[0][1], atol=TOLERANCE)
