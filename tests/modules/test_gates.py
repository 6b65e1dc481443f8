from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, encode_all, score_tokens
from prime_audit.modules import AdapterBank, LoraModule, read_gates, train_gates, write_gates
from prime_audit.modules.gates import gated

MakeModule = Callable[..., LoraModule]
IDS = torch.arange(3, 23).reshape(2, 10)
EXAMPLES = [
    Example(f"item {i}:", f" {word}") for i, word in enumerate(["red", "green", "blue", "red", "grey"])
]


@dataclass(frozen=True)
class Settings:
    """Gate settings that move far in few steps."""

    steps: int = 30
    lr: float = 0.05
    batch_size: int = 2


@pytest.fixture(scope="module")
def module(make_module: MakeModule) -> LoraModule:
    return make_module(0)


@pytest.fixture(scope="module")
def trained(lm: LanguageModel, module: LoraModule) -> dict[str, torch.Tensor]:
    return train_gates(lm, module, EXAMPLES, Settings(), seed=3)


def _zeros(module: LoraModule) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(a.shape[1]) for name, (a, _) in module.factors.items()}


def _loss(lm: LanguageModel, module: LoraModule, gates: dict[str, torch.Tensor]) -> float:
    with gated(lm, module, gates):
        return -float(score_tokens(lm, EXAMPLES).logp.mean())


def test_gates_of_zero_halve_the_module(lm: LanguageModel, module: LoraModule) -> None:
    with torch.no_grad(), gated(lm, module, _zeros(module)):
        halved = lm.model(IDS).logits
    with torch.no_grad(), AdapterBank([module]).rows(lm.model, torch.full((2, 1), 0.5)):
        expected = lm.model(IDS).logits
    torch.testing.assert_close(halved, expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        assert float((halved - lm.model(IDS).logits).abs().max()) > 0.1


def test_every_token_is_scaled_by_its_own_sigmoid(lm: LanguageModel, module: LoraModule) -> None:
    name = "model.layers.1.self_attn.k_proj"
    gates = {
        key: torch.randn(len(gate), generator=torch.Generator().manual_seed(1))
        for key, gate in _zeros(module).items()
    }
    layer: Any = lm.model.get_submodule(name)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad(), gated(lm, module, gates):
        handle = layer.register_forward_hook(lambda _layer, x, y: seen.update(x=x[0], y=y))
        lm.model(IDS)
        handle.remove()
    a, b = (factor.double().numpy() for factor in module.factors[name])
    weight, gate = layer.weight.double().numpy(), gates[name].double().numpy()
    for x, y in zip(
        seen["x"].double().numpy().reshape(20, -1), seen["y"].numpy().reshape(20, -1), strict=True
    ):
        scale = 1 / (1 + np.exp(-np.dot(x, gate)))
        np.testing.assert_allclose(y, weight @ x + module.scaling * b @ (a @ (scale * x)), atol=1e-4)


def test_three_steps_equal_a_loop_by_hand(lm: LanguageModel, module: LoraModule) -> None:
    gates = {name: zeros.requires_grad_() for name, zeros in _zeros(module).items()}
    first = {name: torch.zeros_like(gate) for name, gate in gates.items()}
    second = {name: torch.zeros_like(gate) for name, gate in gates.items()}
    for step in (1, 2, 3):
        losses = []
        with gated(lm, module, gates):
            for one in encode_all(lm, EXAMPLES, "answer"):
                logp = torch.log_softmax(lm.model(torch.tensor([one.ids])).logits[0], dim=-1)
                losses += [-logp[i - 1, one.ids[i]] for i in range(1, len(one.ids)) if one.scored[i]]
        grads = torch.autograd.grad(torch.stack(losses).mean(), list(gates.values()))
        norm = float(torch.stack([grad.square().sum() for grad in grads]).sum().sqrt())
        assert norm > 0.3, "the gradient must be clipped for this to be a test of it"
        with torch.no_grad():
            for (name, gate), grad in zip(gates.items(), grads, strict=True):
                clipped = grad * 0.3 / norm
                first[name] = 0.9 * first[name] + 0.1 * clipped
                second[name] = 0.999 * second[name] + 0.001 * clipped**2
                root = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                gate -= 0.05 * first[name] / (1 - 0.9**step) / root
    ours = train_gates(lm, module, EXAMPLES, Settings(steps=3, batch_size=5), seed=0)
    for name, gate in gates.items():
        # Adam's step depends on the sign of a gradient alone where that is rounding noise.
        close = torch.isclose(ours[name], gate.detach(), atol=2e-3)
        assert float(close.float().mean()) > 0.97, name


def test_training_lowers_the_loss(
    lm: LanguageModel, module: LoraModule, trained: dict[str, torch.Tensor]
) -> None:
    assert _loss(lm, module, trained) < 0.8 * _loss(lm, module, _zeros(module))
    assert {name: gate.shape for name, gate in trained.items()} == {
        name: a.shape[1:] for name, (a, _) in module.factors.items()
    }


def test_nothing_but_the_gates_changes(lm: LanguageModel, make_module: MakeModule) -> None:
    fresh = make_module(0)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    factors = {name: (a.clone(), b.clone()) for name, (a, b) in fresh.factors.items()}
    state = torch.random.get_rng_state()
    train_gates(lm, fresh, EXAMPLES, Settings(steps=2), seed=3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    for name, (a, b) in fresh.factors.items():
        assert torch.equal(a, factors[name][0])
        assert torch.equal(b, factors[name][1])
        assert a.grad is None
        assert not a.requires_grad
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())
    assert not any(layer._forward_hooks for layer in lm.model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_seed_decides_everything(
    lm: LanguageModel, module: LoraModule, trained: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(99)
    again = train_gates(lm, module, EXAMPLES, Settings(), seed=3)
    other = train_gates(lm, module, EXAMPLES, Settings(), seed=4)
    assert all(torch.equal(again[name], trained[name]) for name in trained)
    assert not all(torch.equal(other[name], trained[name]) for name in trained)


def test_steps_are_counted_and_every_round_sees_every_example(lm: LanguageModel, module: LoraModule) -> None:
    rows: list[int] = []
    _ = lm.plain_head
    base: Any = lm.model.base_model
    handle = base.register_forward_hook(
        lambda _model, _args, kwargs, _output: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        train_gates(lm, module, EXAMPLES, Settings(steps=7), seed=0)
    finally:
        handle.remove()
    assert rows == [2, 2, 1, 2, 2, 1, 2]


def test_a_loss_that_is_not_finite_is_refused(lm: LanguageModel, module: LoraModule) -> None:
    huge = replace(module, factors={name: (a * 1e30, b * 1e30) for name, (a, b) in module.factors.items()})
    with pytest.raises(ModelError, match="not finite at step 1 of 30") as caught:
        train_gates(lm, huge, EXAMPLES, Settings(), seed=0)
    assert "lower the lr" in caught.value.hint


def test_gates_that_are_not_finite_are_refused(
    lm: LanguageModel, module: LoraModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(gates: list[torch.Tensor], _largest: float) -> None:
        for gate in gates:
            gate.grad = torch.full_like(gate, torch.nan)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", poison)
    with pytest.raises(ModelError, match="trained gates are not finite"):
        train_gates(lm, module, EXAMPLES, Settings(steps=1), seed=0)


def test_an_empty_history_is_refused(lm: LanguageModel, module: LoraModule) -> None:
    with pytest.raises(ModelError, match="no examples"):
        train_gates(lm, module, [], Settings(), seed=0)


def test_a_module_of_another_base_is_refused(
    make_lm: Callable[..., LanguageModel], module: LoraModule
) -> None:
    with pytest.raises(ModelError, match="for another base"):
        train_gates(make_lm(hidden_size=16), module, EXAMPLES, Settings(), seed=0)


def test_gates_come_back_as_they_were_written(
    module: LoraModule, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    write_gates(trained, tmp_path)
    again = read_gates(tmp_path, module)
    assert list(again) == sorted(trained)
    assert all(torch.equal(again[name], trained[name]) for name in trained)


def _without_a_layer(gates: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(gates.items())[1:])


def _too_wide(gates: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([gate, gate]) for name, gate in gates.items()}


def _not_finite(gates: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(gate, torch.nan) for name, gate in gates.items()}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_a_layer, "1 layers have a gate or a LoRA factor, but not both"),
        (_too_wide, r"a gate of shape \(64,\) and 32 inputs"),
        (_not_finite, "holds NaN or infinity"),
    ],
)
def test_gates_that_do_not_fit_are_refused(
    damage: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
    module: LoraModule,
    trained: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    save_file(damage(trained), tmp_path / "gates.safetensors")
    with pytest.raises(ModelError, match=message):
        read_gates(tmp_path, module)


def test_missing_and_damaged_gates_are_refused(
    module: LoraModule, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_gates(tmp_path, module)
    write_gates(trained, tmp_path)
    path = tmp_path / "gates.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="cannot be read"):
        read_gates(tmp_path, module)
