"""Rows of a batch with weights of their own, in both spaces, against dense changes and sequential merges."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime_audit.config.methods import Space
from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, generate, score_tokens
from prime_audit.modules import AdapterBank, LoraModule, export, merged_into

MakeModule = Callable[..., LoraModule]
Dense = Callable[..., dict[str, torch.Tensor]]
WithChange = Callable[[LanguageModel, dict[str, torch.Tensor]], LanguageModel]
IDS = torch.arange(3, 13).reshape(1, 10)
SPACES: tuple[Space, ...] = ("exact", "factor")
# The base, every sharer alone, negatives, a uniform merge and two candidates, in one batch.
ROWS = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0.4, -0.7, 1.2], [1 / 3] * 3, [1.5, -1.5, -0.2]]
)


@pytest.fixture(scope="session")
def lm(make_lm: Callable[..., LanguageModel]) -> LanguageModel:
    """A model whose logits are about 1 in size, so that 1e-5 is a few of their last digits."""
    return make_lm(initializer_range=0.15)


@pytest.fixture(scope="module")
def modules(make_module: MakeModule) -> list[LoraModule]:
    """Three modules of one rank with scalings 2, 1.5 and 0.25."""
    return [
        make_module(0, alpha=8.0, size=0.12),
        make_module(1, alpha=3.0, rslora=True, size=0.12),
        make_module(2, alpha=1.0, size=0.12),
    ]


@pytest.fixture(scope="module")
def per_layer() -> NDArray[np.float64]:
    """Weights of three modules in the toy's eight layers, different in each, for every row of ROWS."""
    return np.random.default_rng(5).uniform(-1, 1, size=(len(ROWS), 3, 8))


def _logits(lm: LanguageModel, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = lm.model(ids).logits
    return logits


def _mixed(lm: LanguageModel, bank: AdapterBank, rows: NDArray[np.float64]) -> torch.Tensor:
    with bank.rows(lm.model, torch.tensor(rows)):
        return _logits(lm, IDS.repeat(len(rows), 1))


@pytest.mark.parametrize("kind", ["one weight per sharer", "one per sharer and layer"])
@pytest.mark.parametrize("space", SPACES)
def test_every_row_is_its_own_dense_change(
    lm: LanguageModel,
    modules: list[LoraModule],
    per_layer: NDArray[np.float64],
    dense_change: Dense,
    with_change: WithChange,
    space: Space,
    kind: str,
) -> None:
    rows = ROWS if kind == "one weight per sharer" else per_layer
    together = _mixed(lm, AdapterBank(modules, space), rows)
    for place, weights in enumerate(rows):
        expected = _logits(with_change(lm, dense_change(modules, weights, space)))[0]
        torch.testing.assert_close(together[place], expected, atol=1e-5, rtol=1e-5)
    assert float((together - together[:1]).abs().amax(dim=(1, 2))[1:].min()) > 0.05


def test_rows_are_sequential_merges_for_scores_and_for_texts(
    lm: LanguageModel, modules: list[LoraModule]
) -> None:
    bank, example = AdapterBank(modules), Example("a prompt:", " an answer")
    scores = score_tokens(lm, [example] * len(ROWS), adapters=bank, weights=ROWS)
    texts = generate(lm, ["a prompt:"] * len(ROWS), max_new_tokens=8, adapters=bank, weights=ROWS)
    for place, weights in enumerate(ROWS):
        merged = lm
        for module, weight in zip(modules, weights, strict=True):
            factors = {name: (a, float(weight) * b) for name, (a, b) in module.factors.items()}
            merged = merged_into(merged, replace(module, factors=factors)) if weight else merged
        alone = score_tokens(merged, [example]).logp
        np.testing.assert_allclose(scores.logp[scores.record(place)], alone, atol=1e-5, rtol=1e-6)
        assert texts[place] == generate(merged, ["a prompt:"], max_new_tokens=8)[0]
    assert texts[0] == generate(lm, ["a prompt:"], max_new_tokens=8)[0]
    assert len(set(texts)) > len(ROWS) // 2


@pytest.mark.parametrize("space", SPACES)
def test_decoding_follows_weights_per_layer(
    lm: LanguageModel,
    modules: list[LoraModule],
    per_layer: NDArray[np.float64],
    dense_change: Dense,
    with_change: WithChange,
    space: Space,
) -> None:
    # Prompts of different lengths and EOS of their own: the rows move and leave while they are decoded.
    prompts = [f"{'long ' * (i % 3)}prompt {i}:" for i in range(len(per_layer))]
    bank = AdapterBank(modules, space)
    texts = generate(lm, prompts, max_new_tokens=8, adapters=bank, weights=per_layer, batch_size=4)
    for prompt, weights, text in zip(prompts, per_layer, texts, strict=True):
        assert generate(
            with_change(lm, dense_change(modules, weights, space)), [prompt], max_new_tokens=8
        ) == [text]
    assert texts != generate(lm, prompts, max_new_tokens=8)


def test_equal_weights_in_every_layer_are_one_weight(lm: LanguageModel, modules: list[LoraModule]) -> None:
    for space in SPACES:
        bank = AdapterBank(modules, space)
        spread = np.repeat(ROWS[:, :, None], len(bank.layers), axis=2)
        assert torch.equal(_mixed(lm, bank, spread), _mixed(lm, bank, ROWS))


def test_factor_space_is_even_and_exact_space_is_not(lm: LanguageModel, modules: list[LoraModule]) -> None:
    factor, exact = (AdapterBank(modules, space) for space in reversed(SPACES))
    assert torch.equal(_mixed(lm, factor, ROWS), _mixed(lm, factor, -ROWS))
    assert float((_mixed(lm, exact, ROWS) - _mixed(lm, exact, -ROWS)).abs().max()) > 0.5


def test_factor_space_is_exact_space_of_the_squares_plus_cross_terms(
    modules: list[LoraModule], dense_change: Dense
) -> None:
    weights = [0.4, -0.7, 1.2]
    merged = export(modules, weights, space="factor")
    squares = dense_change(modules, np.square(weights), "exact")
    for name, (a, b) in merged.factors.items():
        cross = sum(
            weights[i]
            * weights[j]
            * (left.scaling * right.scaling) ** 0.5
            * (left.factors[name][1].double() @ right.factors[name][0].double())
            for i, left in enumerate(modules)
            for j, right in enumerate(modules)
            if i != j
        )
        torch.testing.assert_close(b.double() @ a.double(), squares[name] + cross, atol=1e-6, rtol=1e-5)
        assert float(torch.as_tensor(cross).norm() / squares[name].norm()) > 0.1


def test_one_module_in_factor_space_comes_with_the_square_of_its_weight(
    lm: LanguageModel, modules: list[LoraModule]
) -> None:
    rows = np.array([[0.0], [0.5], [-1.3], [1.0]])
    for module in modules:
        factor = _mixed(lm, AdapterBank([module], "factor"), rows)
        exact = _mixed(lm, AdapterBank([module], "exact"), rows**2)
        torch.testing.assert_close(factor, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_one_module_with_weight_one_is_the_merged_model(
    lm: LanguageModel, modules: list[LoraModule], space: Space
) -> None:
    for module in modules:
        ones = _mixed(lm, AdapterBank([module], space), np.ones((2, 1)))
        torch.testing.assert_close(ones[1:], _logits(merged_into(lm, module)), atol=1e-5, rtol=1e-5)
        beside_another = _mixed(lm, AdapterBank([module], space), np.array([[1.0], [0.0]]))
        torch.testing.assert_close(beside_another[:1], ones[:1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(beside_another[1:], _logits(lm), atol=1e-5, rtol=1e-5)


def test_layers_are_listed_in_the_models_order(make_lm: Callable[..., LanguageModel]) -> None:
    model = make_lm(num_hidden_layers=11).model
    names = [name for name, _ in model.named_modules() if name.endswith("q_proj")]
    factors = {name: (torch.zeros(2, 32), torch.zeros(32, 2)) for name in sorted(names)}
    assert sorted(names) != names
    assert AdapterBank([LoraModule(2, 2.0, False, factors)]).layers == tuple(names)


def test_a_bank_serves_other_models_and_sees_replaced_layers(
    lm: LanguageModel, make_lm: Callable[..., LanguageModel], modules: list[LoraModule]
) -> None:
    bank, other = AdapterBank(modules), make_lm(seed=3)
    first = _mixed(lm, bank, ROWS)
    torch.testing.assert_close(_mixed(other, bank, ROWS)[:1], _logits(other))
    assert torch.equal(_mixed(lm, bank, ROWS), first)
    model = copy.deepcopy(lm.model)
    changed = replace(lm, model=model)
    assert torch.equal(_mixed(changed, bank, ROWS), first)
    attention = model.get_submodule("model.layers.0.self_attn")
    attention.q_proj = copy.deepcopy(attention.q_proj)
    assert torch.equal(_mixed(changed, bank, ROWS), first)
    attention.q_proj = torch.nn.Linear(32, 16)
    with pytest.raises(ModelError, match=r"q_proj is 16 x 32 in the model and 32 x 32"):
        _mixed(changed, bank, ROWS)


def test_gradients_reach_the_weights(lm: LanguageModel, modules: list[LoraModule]) -> None:
    for space in SPACES:
        bank, step = AdapterBank(modules, space), 1e-2
        weights = torch.tensor([[0.4, -0.7, 1.2]], requires_grad=True)
        with bank.rows(lm.model, weights):
            loss = lm.model(IDS).logits.logsumexp(-1).sum()
        loss.backward()
        sides = [weights.detach().double() + sign * step * torch.eye(3)[:1] for sign in (1, -1)]
        up, down = (_mixed(lm, bank, side.numpy()).double().logsumexp(-1).sum() for side in sides)
        assert weights.grad is not None
        assert float(weights.grad[0, 0]) == pytest.approx(float(up - down) / (2 * step), rel=0.02, abs=0.01)


def test_a_half_precision_base_keeps_its_dtype(lm: LanguageModel, modules: list[LoraModule]) -> None:
    half = replace(lm, model=copy.deepcopy(lm.model).bfloat16())
    mixed = _mixed(half, AdapterBank(modules), ROWS)
    assert mixed.dtype == torch.bfloat16
    # Kernels of bfloat16 depend on the batch, so the base runs in the same batch.
    assert torch.equal(mixed[0], _logits(half, IDS.repeat(len(ROWS), 1))[0])
    wanted = _mixed(lm, AdapterBank(modules), ROWS)
    assert float((mixed.float() - wanted).norm() / wanted.norm()) < 0.05


def test_factors_that_cannot_be_added_are_refused(make_module: MakeModule) -> None:
    pair = [replace(make_module(0, rank=4), origin="pool/ann"), make_module(1, rank=2)]
    with pytest.raises(
        ModelError, match=r"modules pool/ann and 1 have ranks 4 and 2 in layer .*k_proj"
    ) as caught:
        AdapterBank(pair, "factor")
    assert "exact" in caught.value.hint
    AdapterBank(pair, "exact")
    with pytest.raises(ModelError, match="module 1 has the negative scaling -2"):
        AdapterBank([make_module(0), make_module(1, alpha=-8.0)], "factor")


@pytest.mark.parametrize("shape", [(2,), (2, 2), (2, 3, 7), (2, 3, 8, 1)])
def test_weights_of_another_shape_are_refused(
    lm: LanguageModel, modules: list[LoraModule], shape: Sequence[int]
) -> None:
    with (
        pytest.raises(ValueError, match=r"expected \(rows, 3\) or \(rows, 3, 8\)"),
        AdapterBank(modules).rows(lm.model, torch.ones(*shape)),
    ):
        pass
    with pytest.raises(ValueError, match=r"expected \(2, 3\) or \(2, 3, 8\)"):
        generate(lm, ["a", "b"], max_new_tokens=2, adapters=AdapterBank(modules), weights=np.ones(shape))


def test_a_weight_that_is_not_finite_is_named(lm: LanguageModel, modules: list[LoraModule]) -> None:
    weights = np.ones((2, 3, 8))
    weights[1, 2, 5] = np.inf
    with pytest.raises(ValueError, match=r"finite; the one at \[1, 2, 5\] is not"):
        generate(lm, ["a", "b"], max_new_tokens=2, adapters=AdapterBank(modules), weights=weights)
