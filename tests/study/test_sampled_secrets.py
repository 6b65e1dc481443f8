"""Sampled text of a model that learnt one secret by heart, and of one that learnt nothing."""

from types import SimpleNamespace
from typing import cast

import pytest

from prime_audit.config import ModelConfig, TrainingConfig
from prime_audit.core import Seeds
from prime_audit.data import TASKS, Canary, CanaryDesign, canary_form, canary_item
from prime_audit.models import Example, LanguageModel, load_model
from prime_audit.modules import AdapterBank, train_module
from prime_audit.study.sampled_secrets import Asked, Sampled, sample_secrets, sampled_of, sampled_parts
from prime_audit.study.workbench import Workbench

TASK = TASKS["lamp-4"]
# A card number: the bundled model tells digits apart, and not symbols that it was never trained on.
TRAINING = TrainingConfig(
    rank=8,
    alpha=16,
    lr=1e-2,
    epochs=60,
    batch_size=1,
    target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"),
)


def canary(number: int, *, inserted: bool) -> Canary:
    seeds = Seeds(3)
    secret = canary_form("card").draw(seeds.generator("test", str(number)), 1)[0]
    name = f"c{number}"
    return Canary(name, "ann", "card", 16, inserted, secret, canary_item("card", secret, name, TASK))


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_model(
        ModelConfig(base="tiny", device="cpu", dtype="float32"), tmp_path_factory.mktemp("store")
    )


@pytest.fixture(scope="module")
def canaries() -> tuple[Canary, ...]:
    return (canary(1, inserted=True), canary(2, inserted=False))


@pytest.fixture(scope="module")
def learnt(lm: LanguageModel, canaries: tuple[Canary, ...]) -> AdapterBank:
    item = canaries[0].item
    example = Example(TASK.prompt(item.input), TASK.completion(item.answer or ""))
    return AdapterBank([train_module(lm, [example], TRAINING, seed=1)])


def sampled(
    lm: LanguageModel, canaries: tuple[Canary, ...], bank: AdapterBank | None, weight: float
) -> Sampled:
    bench = SimpleNamespace(base=lm, seeds=Seeds(1), canaries=CanaryDesign({"ann": canaries}))
    asked = Asked("card", TASK.prompt(canaries[0].item.input), bank, (weight,))
    return sample_secrets(cast("Workbench", bench), asked, canaries, 200)


def test_a_secret_learnt_by_heart_comes_out_and_another_does_not(
    lm: LanguageModel, canaries: tuple[Canary, ...], learnt: AdapterBank
) -> None:
    found = sampled(lm, canaries, learnt, 1.0)
    assert found.held.tolist() == [1.0, 0.0]
    assert found.restored.tolist() == [1.0, 0.0]
    assert found.hits.sum() == 1.0


def test_a_module_of_weight_zero_is_the_base_and_gives_nothing_away(
    lm: LanguageModel, canaries: tuple[Canary, ...], learnt: AdapterBank
) -> None:
    for found in (sampled(lm, canaries, learnt, 0.0), sampled(lm, canaries, None, 0.0)):
        assert found.held.tolist() == found.restored.tolist() == [0.0, 0.0]
        assert not found.hits.any()


def test_what_is_written_is_read_again(
    lm: LanguageModel, canaries: tuple[Canary, ...], learnt: AdapterBank
) -> None:
    found = sampled(lm, canaries, learnt, 1.0)
    again = sampled_of(sampled_parts(found, "card"), "card")
    assert again is not None
    assert again.held.tolist() == found.held.tolist()
    assert again.hits.tolist() == found.hits.tolist()
    assert sampled_of({}, "card") is None
