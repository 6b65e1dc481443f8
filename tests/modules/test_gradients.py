"""Gradient norms of single records, against plain automatic differentiation."""

import numpy as np
import pytest
import torch
from torch import nn

from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, encode
from prime_audit.modules import LoraModule, gradient_norms
from prime_audit.modules import gradients as gradients_module
from prime_audit.modules.lora import linear_layer
from prime_audit.modules.training import mean_loss

EXAMPLES = [Example("short:", " yes"), Example("a much longer prompt:", " no, never"), Example("", "x")]


@pytest.fixture
def module(lm: LanguageModel) -> LoraModule:
    generator = torch.Generator().manual_seed(3)
    factors = {
        name: (
            torch.randn(2, layer.in_features, generator=generator) * 0.3,
            torch.randn(layer.out_features, 2, generator=generator) * 0.3,
        )
        for name, layer in lm.model.named_modules()
        if isinstance(layer, nn.Linear) and name.endswith(("q_proj", "down_proj"))
    }
    return LoraModule(rank=2, alpha=4.0, rslora=False, factors=factors)


def plain(
    lm: LanguageModel, module: LoraModule, example: Example, loss: str, *, end: bool = True
) -> dict[str, float]:
    """Gradients by putting the change into the weights and the chain rule for its factors."""
    names = list(module.factors)
    weights = {name: linear_layer(lm.model, name).weight for name in names}
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        for name, (a, b) in module.factors.items():
            weights[name].data += module.scaling * (b @ a)
            weights[name].requires_grad_(True)
        encoded = encode(lm, example, loss)
        logp = torch.log_softmax(lm.model(torch.tensor([encoded.ids])).logits[0].float(), dim=-1)
        scored = [t for t, one in enumerate(encoded.scored) if one][: None if end else -1]
        value = -torch.stack([logp[t - 1, encoded.ids[t]] for t in scored]).mean()
        found = torch.autograd.grad(value, [weights[name] for name in names])
    finally:
        for name, weight in weights.items():
            weight.data = kept[name]
            weight.requires_grad_(False)
    norms = {}
    for name, gradient in zip(names, found, strict=True):
        a, b = module.factors[name]
        of_a, of_b = module.scaling * b.T @ gradient, module.scaling * gradient @ a.T
        norms[name] = float((of_a.square().sum() + of_b.square().sum()).sqrt())
    return norms


@pytest.mark.parametrize("loss", ["answer", "full"])
def test_equals_the_chain_rule(lm: LanguageModel, module: LoraModule, loss: str) -> None:
    layers = gradient_norms(lm, EXAMPLES, loss, module, per_layer=True)
    whole = gradient_norms(lm, EXAMPLES, loss, module)
    for place, example in enumerate(EXAMPLES):
        expected = list(plain(lm, module, example, loss).values())
        np.testing.assert_allclose(layers[place], expected, rtol=1e-4)
        assert whole[place] == pytest.approx(np.linalg.norm(expected), rel=1e-4)


def test_the_end_of_sequence_token_can_be_left_out(lm: LanguageModel, module: LoraModule) -> None:
    with_end = gradient_norms(lm, EXAMPLES, "answer", module)
    without = gradient_norms(lm, EXAMPLES, "answer", module, end=False)
    assert not np.isclose(with_end, without).any()
    # The mean over the other tokens alone, by plain automatic differentiation.
    for place, example in enumerate(EXAMPLES):
        whole = encode(lm, example, "answer")
        assert whole.ids[-1] == lm.eos_id
        bare = plain(lm, module, example, "answer", end=False)
        assert without[place] == pytest.approx(np.linalg.norm(list(bare.values())), rel=1e-4)


def test_a_loss_times_a_factor_has_a_gradient_times_it(
    lm: LanguageModel, module: LoraModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gradient_norms(lm, EXAMPLES, "answer", module)
    monkeypatch.setattr(gradients_module, "mean_loss", lambda *given: 3.0 * mean_loss(*given))
    np.testing.assert_allclose(gradient_norms(lm, EXAMPLES, "answer", module), 3.0 * before, rtol=1e-5)


def test_no_record_sees_another(lm: LanguageModel, module: LoraModule) -> None:
    together = gradient_norms(lm, EXAMPLES, "answer", module)
    alone = [gradient_norms(lm, [one], "answer", module)[0] for one in EXAMPLES]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_other_factors_of_one_change_have_other_gradients(lm: LanguageModel, module: LoraModule) -> None:
    factors = {name: (2.0 * a, b / 2.0) for name, (a, b) in module.factors.items()}
    other = LoraModule(rank=2, alpha=4.0, rslora=False, factors=factors)
    first, second = (gradient_norms(lm, EXAMPLES, "answer", one) for one in (module, other))
    assert (np.abs(first / second - 1) > 0.01).all()


def test_a_gradient_that_is_not_finite_is_reported(
    lm: LanguageModel, module: LoraModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients_module, "mean_loss", lambda *given: float("inf") * mean_loss(*given))
    with pytest.raises(ModelError, match="model toy: the gradient of record 0 is not finite"):
        gradient_norms(lm, EXAMPLES, "answer", module)


def test_the_base_is_left_as_it_was(lm: LanguageModel, module: LoraModule) -> None:
    before = {name: part.clone() for name, part in lm.model.state_dict().items()}
    first = gradient_norms(lm, EXAMPLES, "answer", module)
    np.testing.assert_array_equal(first, gradient_norms(lm, EXAMPLES, "answer", module))
    assert all(torch.equal(part, before[name]) for name, part in lm.model.state_dict().items())
    assert not any(part.requires_grad for part in lm.model.parameters())


def test_a_record_that_is_known_by_heart_has_hardly_a_gradient(lm: LanguageModel, module: LoraModule) -> None:
    # One token that the model is made to be certain of, by the bias of its output.
    known, unknown = Example("", ""), Example("", "x")
    head = lm.head
    assert isinstance(head, nn.Linear)
    head.bias = nn.Parameter(torch.zeros(head.out_features), requires_grad=False)
    try:
        head.bias[lm.eos_id] = 50.0
        found = gradient_norms(lm, [known, unknown], "answer", module)
    finally:
        head.register_parameter("bias", None)
    assert found[0] < 1e-6 < found[1]


def test_another_base_is_refused(lm: LanguageModel, module: LoraModule) -> None:
    factors = {"model.layers.9.self_attn.q_proj": next(iter(module.factors.values()))}
    other = LoraModule(rank=2, alpha=4.0, rslora=False, factors=factors)
    with pytest.raises(ModelError, match=r"layers\.9"):
        gradient_norms(lm, EXAMPLES, "answer", other)
