"""Modules on a base in 4 bits: they see the weights that it holds, and no weight of it ever changes."""

import copy
import importlib
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from prime_audit.bundled import TINY
from prime_audit.config import ModelConfig, PrivacyConfig, TrainingConfig
from prime_audit.models import Example, LanguageModel, embed, load_model, score_tokens
from prime_audit.modules import (
    AdapterBank,
    LoraModule,
    gradient_norms,
    merged_into,
    train_gates,
    train_module,
    train_private_module,
    write_module,
)
from tests.support import needs_bitsandbytes

pytestmark = needs_bitsandbytes
EXAMPLES = [
    Example("Headline of an article on a bridge that was opened:", " a bridge for the town"),
    Example("Headline of an article on two friends and a garden:", " friends in the garden"),
    Example("Headline of an article on a match after extra time:", " a late win"),
]
TRAINING = TrainingConfig(
    rank=4, alpha=8.0, lr=5e-3, epochs=2, batch_size=2, target_modules=("q_proj", "v_proj", "down_proj")
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """The bundled model in 4 bits, after it has scored: nothing that scoring does may change what follows."""
    config = ModelConfig(base="tiny", device="cpu", dtype="float32", quantize="4bit")
    found = load_model(config, tmp_path_factory.mktemp("store"))
    score_tokens(found, EXAMPLES)
    return found


@pytest.fixture(scope="module")
def unpacked(packed: LanguageModel) -> LanguageModel:
    """A plain model that holds, in full, the weights that the packed one stands for."""
    functional: Any = importlib.import_module("bitsandbytes.functional")
    full = load_model(ModelConfig(base="tiny", device="cpu", dtype="float32"), Path("unused"))
    model = copy.deepcopy(full.model)
    for name, layer in packed.model.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(layer, nn.Linear) and isinstance(weight, Tensor) and weight.dtype == torch.uint8:
            state = weight.quant_state  # type: ignore[attr-defined]
            model.get_parameter(f"{name}.weight").data = functional.dequantize_4bit(weight.data, state)
    return replace(full, model=model)


@pytest.fixture(scope="module")
def module(packed: LanguageModel) -> LoraModule:
    return train_module(packed, EXAMPLES, TRAINING, seed=3)


def logp(lm: LanguageModel) -> np.ndarray[Any, np.dtype[np.float64]]:
    return score_tokens(lm, EXAMPLES).logp


def weights(lm: LanguageModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in lm.model.named_parameters()}


def assert_same(one: LoraModule, other: LoraModule) -> None:
    for name, pair in one.factors.items():
        for mine, theirs in zip(pair, other.factors[name], strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_it_computes_with_the_weights_that_it_holds(packed: LanguageModel, unpacked: LanguageModel) -> None:
    np.testing.assert_allclose(logp(packed), logp(unpacked), atol=1e-5)
    texts = [one.prompt for one in EXAMPLES]
    np.testing.assert_allclose(embed(packed, texts), embed(unpacked, texts), atol=1e-5)


def test_a_module_is_trained_as_on_those_weights_and_they_stay(
    packed: LanguageModel, unpacked: LanguageModel
) -> None:
    before = weights(packed)
    module = train_module(packed, EXAMPLES, TRAINING, seed=3)
    after = weights(packed)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {part.dtype for pair in module.factors.values() for part in pair} == {torch.float32}
    assert all(b.abs().max() > 0 for _, b in module.factors.values())
    assert_same(module, train_module(unpacked, EXAMPLES, TRAINING, seed=3))


def test_gradients_pass_through_packed_layers(
    packed: LanguageModel, unpacked: LanguageModel, module: LoraModule
) -> None:
    # Those of the first layers pass through all that follow.
    found, expected = (
        gradient_norms(lm, EXAMPLES, "answer", module, per_layer=True) for lm in (packed, unpacked)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    gates, others = (train_gates(lm, module, EXAMPLES, Settings(), seed=1) for lm in (packed, unpacked))
    for name, gate in gates.items():
        torch.testing.assert_close(gate, others[name], atol=1e-4, rtol=1e-4)


class Settings:
    steps, lr, batch_size = 4, 0.01, 2


@pytest.mark.skipif(find_spec("opacus") is None, reason="opacus (extra dp) is not installed")
def test_private_training_sees_those_weights_too(packed: LanguageModel, unpacked: LanguageModel) -> None:
    privacy = PrivacyConfig(noise=1.0, delta=1e-3)
    one, other = (
        train_private_module(lm, EXAMPLES, TRAINING, privacy, seed=2)[0] for lm in (packed, unpacked)
    )
    assert_same(one, other)


def test_an_adaptation_stays_beside_the_weights(
    packed: LanguageModel, unpacked: LanguageModel, module: LoraModule
) -> None:
    before, said = weights(packed), logp(packed)
    adapted = merged_into(packed, module)
    np.testing.assert_allclose(logp(adapted), logp(merged_into(unpacked, module)), atol=1e-4)
    assert np.abs(logp(adapted) - said).max() > 0.1
    # The base is as it was, and no memory is taken for a second copy of its weights.
    assert logp(packed).tolist() == said.tolist()
    assert all(torch.equal(before[name], weight) for name, weight in packed.model.named_parameters())
    pairs = zip(packed.model.parameters(), adapted.model.parameters(), strict=True)
    assert all(one is other for one, other in pairs)
    assert adapted.quantization == packed.quantization
    assert adapted.digest == merged_into(packed, module).digest != packed.digest


def test_modules_are_trained_and_mixed_on_an_adapted_base(
    packed: LanguageModel, unpacked: LanguageModel, module: LoraModule
) -> None:
    adapted, plain = merged_into(packed, module), merged_into(unpacked, module)
    second, other = (train_module(lm, EXAMPLES[:2], TRAINING, seed=4) for lm in (adapted, plain))
    assert_same(second, other)
    bank = AdapterBank([module, second])
    ids = torch.arange(5, 25)[None].repeat(3, 1)
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.3, 0.6]])
    logits = []
    for lm in (adapted, plain):
        with torch.no_grad(), bank.rows(lm.model, rows):
            logits.append(lm.model(ids).logits)
    torch.testing.assert_close(*logits, atol=1e-3, rtol=1e-3)
    assert not torch.equal(logits[0][0], logits[0][1])


def test_an_adapter_that_peft_loads_gives_the_same_logits(
    packed: LanguageModel, module: LoraModule, tmp_path: Path
) -> None:
    write_module(module, tmp_path / "adapter", "tiny")
    auto: Any = AutoModelForCausalLM
    settings: Any = BitsAndBytesConfig
    four_bits = settings(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    again = auto.from_pretrained(
        TINY, dtype=torch.float32, quantization_config=four_bits, device_map={"": "cpu"}
    )
    for layer in again.modules():
        layer.support_avx512bf16_for_cpu = False
    loaded: Any = PeftModel.from_pretrained(again, str(tmp_path / "adapter")).eval()
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        expected = loaded(ids).logits
        with AdapterBank([module]).rows(packed.model, torch.ones(1, 1)):
            torch.testing.assert_close(packed.model(ids).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_full_base_is_still_merged_into_its_weights(
    make_lm: Callable[..., LanguageModel], make_module: Callable[..., LoraModule]
) -> None:
    lm, module = make_lm(), make_module(1)
    merged = merged_into(lm, module)
    name = next(iter(module.factors))
    a, b = module.factors[name]
    change = merged.model.get_parameter(f"{name}.weight") - lm.model.get_parameter(f"{name}.weight")
    torch.testing.assert_close(change, module.scaling * (b @ a), atol=1e-5, rtol=1e-4)
    assert not any(layer._forward_hooks for layer in merged.model.modules())
