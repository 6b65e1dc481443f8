"""What is computed depends neither on what was computed before nor, but for rounding, on threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from attacks import TokenScores
from prime_audit.config import load_study
from prime_audit.core import Seeds
from prime_audit.models import Batching, score_tokens
from prime_audit.modules import AdapterBank, LoraModule
from prime_audit.study.executor import InProcess
from prime_audit.study.inputs import load_dataset
from prime_audit.study.opening import open_study
from prime_audit.study.units import Output, Outputs, Unit
from prime_audit.study.work import train
from prime_audit.study.workbench import Workbench
from tests.study.test_executors import Made, opened

# Other threads sum other parts of an array first, which rounds otherwise. A forward pass feels little of it:
# nothing at all was measured with the bundled model.
FORWARD = 1e-6
# Training carries it on: Adam divides a gradient by its own size, so that rounding where a gradient is nearly
# zero becomes a step of the learning rate. After one short epoch a log-probability moved by 2.4e-6 nats ...
ONE_EPOCH = 1e-5
# ... and after the quickstart's six epochs by 0.06 for a single token and 1e-3 in the mean of a record.
QUICKSTART_TOKEN, QUICKSTART_RECORD = 0.5, 1e-2


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


def scored(bench: Workbench, user: str, module: LoraModule) -> TokenScores:
    """How a module on the base scores a history."""
    examples = bench.examples(user)
    weights = np.ones((len(examples), 1))
    return score_tokens(bench.base, examples, adapters=AdapterBank([module]), weights=weights)


def trained(made: Made) -> tuple[bytes, TokenScores]:
    """The bytes of a module, and how it scores its own history, on a base that was adapted alike."""
    bench, units = made
    user = bench.dataset.sharers[0].id
    for unit in units:
        if unit.name in ("adapt", f"train/{user}"):
            unit.run({})
    assert train(bench, user)["reused"]
    written = bench.store.path(bench.keys[f"train/{user}"]) / "adapter_model.safetensors"
    return written.read_bytes(), scored(bench, user, bench.module(user))


def test_equal_threads_give_equal_bits_and_others_what_training_makes_of_rounding(tmp_path: Path) -> None:
    found = []
    for number, count in enumerate((1, 1, 2)):
        with threads(count):
            found.append(trained(opened(tmp_path / str(number))))
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1].logp, found[1][1].logp)
    np.testing.assert_allclose(found[2][1].logp, found[0][1].logp, atol=ONE_EPOCH)


def test_a_forward_pass_is_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    made = opened(tmp_path)
    trained(made)
    bench = made[0]
    user = bench.dataset.sharers[0].id
    found = []
    for count in (1, 2, 3):
        with threads(count):
            found.append(scored(bench, user, bench.module(user)))
    for other in found[1:]:
        for name in ("logp", "mean_logp", "std_logp"):
            expected = getattr(found[0], name)
            np.testing.assert_allclose(getattr(other, name), expected, rtol=FORWARD, atol=FORWARD)
        np.testing.assert_allclose(other.mean(), found[0].mean(), rtol=FORWARD)


@pytest.mark.long
def test_what_the_quickstarts_training_makes_of_rounding_is_bounded(tmp_path: Path) -> None:
    config = load_study("quickstart", ["data.sharers=4", "data.targets=1", "audit.canaries=null"])
    found = []
    for count in (1, 2):
        home = tmp_path / str(count)
        (home / "run" / "evidence").mkdir(parents=True)
        with threads(count):
            found.append(trained(open_study(config, load_dataset(config), home / "store", home / "run"))[1])
    np.testing.assert_allclose(found[1].logp, found[0].logp, atol=QUICKSTART_TOKEN)
    np.testing.assert_allclose(found[1].mean(), found[0].mean(), atol=QUICKSTART_RECORD)
