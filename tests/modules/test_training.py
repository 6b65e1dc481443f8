from dataclasses import replace

import numpy as np
import pytest
import torch

from prime_audit.config import TrainingConfig
from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, score_tokens
from prime_audit.modules import AdapterBank, LoraModule, adapt, merged_into, train_module, training

EXAMPLES = [
    Example(f"item {i}:", f" {word}") for i, word in enumerate(["red", "green", "blue", "red", "grey"])
]
TRAINING = TrainingConfig(rank=4, alpha=8, lr=1e-2, epochs=6, batch_size=2)


@pytest.fixture(scope="module")
def trained(lm: LanguageModel) -> LoraModule:
    return train_module(lm, EXAMPLES, TRAINING, seed=3)


def _loss(lm: LanguageModel, module: LoraModule | None = None) -> float:
    adapters = AdapterBank([module]) if module else None
    weights = np.ones((len(EXAMPLES), 1)) if module else None
    return -float(score_tokens(lm, EXAMPLES, adapters=adapters, weights=weights).logp.mean())


def test_training_lowers_the_loss(lm: LanguageModel, trained: LoraModule) -> None:
    assert _loss(lm, trained) < 0.7 * _loss(lm)
    assert (trained.rank, trained.alpha, trained.rslora) == (4, 8.0, False)
    kinds = {name.rpartition(".")[2] for name in trained.factors}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_the_base_and_the_global_random_state_stay(lm: LanguageModel) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    layers = [(name, id(layer)) for name, layer in lm.model.named_modules()]
    state = torch.random.get_rng_state()
    train_module(lm, EXAMPLES, TRAINING, seed=3)
    after = lm.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [(name, id(layer)) for name, layer in lm.model.named_modules()] == layers
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())
    assert not lm.model.training
    assert not hasattr(lm.model, "peft_config")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_seed_decides_everything(lm: LanguageModel, trained: LoraModule) -> None:
    torch.manual_seed(99)
    assert train_module(lm, EXAMPLES, TRAINING, seed=3).digest == trained.digest
    assert adapt(lm, EXAMPLES, TRAINING, seed=3).digest == trained.digest
    assert train_module(lm, EXAMPLES, TRAINING, seed=4).digest != trained.digest


def test_the_base_survives_a_diverging_training(lm: LanguageModel) -> None:
    before = _loss(lm)
    with pytest.raises(ModelError, match="not finite at step") as caught:
        train_module(lm, EXAMPLES, TRAINING.model_copy(update={"lr": 1e30}), seed=0)
    assert "lower training.lr" in caught.value.hint
    assert _loss(lm) == before


def test_loss_full_trains_on_the_prompt_too(lm: LanguageModel, trained: LoraModule) -> None:
    full = train_module(lm, EXAMPLES, TRAINING.model_copy(update={"loss": "full"}), seed=3)
    prompts = [replace(example, completion="") for example in EXAMPLES]

    def nll(module: LoraModule) -> float:
        ones = np.ones((len(prompts), 1))
        return -float(
            score_tokens(lm, prompts, loss="full", adapters=AdapterBank([module]), weights=ones).logp.mean()
        )

    assert nll(full) < nll(trained)


def test_wrong_targets_and_empty_histories_are_refused(lm: LanguageModel) -> None:
    with pytest.raises(ModelError, match="no linear layer is called c_attn") as caught:
        train_module(
            lm, EXAMPLES, TRAINING.model_copy(update={"target_modules": ("q_proj", "c_attn")}), seed=0
        )
    assert "q_proj" in caught.value.hint
    with pytest.raises(ModelError, match="no examples"):
        train_module(lm, [], TRAINING, seed=0)


def test_merging_into_the_base_equals_the_adapter(lm: LanguageModel, trained: LoraModule) -> None:
    merged = merged_into(lm, trained)
    assert _loss(merged) == pytest.approx(_loss(lm, trained), abs=1e-5)
    assert merged.digest not in (lm.digest, trained.digest)
    assert merged.digest == merged_into(lm, trained).digest
    assert merged.name == lm.name
    assert _loss(lm) != pytest.approx(_loss(merged), abs=0.01)


@pytest.mark.parametrize("cpu", [False, True])
def test_a_batch_that_does_not_fit_is_named_with_the_settings_that_make_it_smaller(
    cpu: bool, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lm: LanguageModel, batch: object) -> torch.Tensor:
        if cpu:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "mean_loss", full)
    with pytest.raises(ModelError, match="a batch of the training does not fit into memory") as caught:
        train_module(lm, EXAMPLES, TRAINING, seed=3)
    assert "training.batch_size" in caught.value.hint
    assert "training.max_tokens" in caught.value.hint


def test_another_error_of_the_training_stays_what_it_is(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(lm: LanguageModel, batch: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(training, "mean_loss", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train_module(lm, EXAMPLES, TRAINING, seed=3)
