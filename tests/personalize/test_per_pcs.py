import math
import runpy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime_audit.config import MethodSettings, PerPcsMethod
from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, User
from prime_audit.errors import ConfigError, ModelError
from prime_audit.models import Example, LanguageModel, encode
from prime_audit.modules import LoraModule
from prime_audit.personalize import METHODS, TargetContext, register
from prime_audit.personalize.per_pcs import per_pcs, weigh

Array = NDArray[np.float64]
_TOY = runpy.run_path(str(Path(__file__).parents[1] / "models" / "toy.py"))
SHARERS = ("ann", "bob", "cy")
# In the order in which a forward pass meets them.
LAYERS = [f"model.layers.{i}.self_attn.{letter}_proj" for i in range(2) for letter in "qkvo"]
HISTORY = tuple(
    Item(str(i), f"story {i}", answer)
    for i, answer in enumerate(["a storm", "no", "many quiet words", "rain again", "sun"])
)
SETTINGS = PerPcsMethod(batch_size=2, top_k=2, temperature=0.7)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    model: LanguageModel = _TOY["toy_language_model"]()
    return model


def _module(lm: LanguageModel, seed: int, rank: int = 3) -> LoraModule:
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name in LAYERS:
        layer: Any = lm.model.get_submodule(name)
        factors[name] = (
            torch.randn(rank, layer.in_features, generator=generator) * 0.4,
            torch.randn(layer.out_features, rank, generator=generator) * 0.4,
        )
    rslora = seed == 1
    return LoraModule(rank, alpha=2.0 + 3 * seed, rslora=rslora, factors=factors, origin=SHARERS[seed])


@pytest.fixture(scope="module")
def modules(lm: LanguageModel) -> dict[str, LoraModule]:
    return {name: _module(lm, seed) for seed, name in enumerate(SHARERS)}


@pytest.fixture(scope="module")
def gates() -> dict[str, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(7)
    return {sharer: {name: torch.randn(32, generator=generator) for name in LAYERS} for sharer in SHARERS}


@pytest.fixture
def context(
    lm: LanguageModel, modules: dict[str, LoraModule], gates: dict[str, dict[str, torch.Tensor]]
) -> TargetContext:
    return TargetContext(
        TASKS["lamp-4"],
        User("t", "target", HISTORY, ()),
        base=lm,
        seeds=Seeds(1),
        sharers=SHARERS,
        module=modules.__getitem__,
        gates=gates.__getitem__,
    )


def _dense(module: LoraModule | None, name: str) -> Array:
    assert module is not None
    a, b = module.factors[name]
    change: Array = module.scaling * b.double().numpy() @ a.double().numpy()
    return change


def _norm(vector: Array) -> Array:
    centred: Array = vector - vector.mean()
    return centred / math.sqrt(float((centred**2).mean()) + 1e-5)


class Oracle:
    """The assembly of one batch in loops: a forward pass per item and layer, dense changes, no padding."""

    def __init__(self, context: TargetContext, gates: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        self.context, self.gates = context, gates
        self.sharers = context.sharers

    def _answer_inputs(self, model: torch.nn.Module, layer: str, item: Item) -> Array:
        prompt = self.context.plain_prompt(item)
        one = encode(self.context.base, Example(prompt, f" {item.answer}"), "answer")
        seen = []
        handle = model.get_submodule(layer).register_forward_pre_hook(lambda _layer, x: seen.append(x[0]))
        with torch.no_grad():
            model(torch.tensor([one.ids]))
        handle.remove()
        rows: Array = seen[0][0].double().numpy()
        return rows[[i for i, scored in enumerate(one.scored) if scored]]

    def _scores(self, model: torch.nn.Module, layer: str, items: tuple[Item, ...]) -> list[float]:
        scores = []
        for sharer in self.sharers:
            gate = _norm(self.gates[sharer][layer].double().numpy())
            per_item = []
            for item in items:
                tokens = self._answer_inputs(model, layer, item)
                per_item.append(np.mean([_norm(h) @ gate / math.sqrt(len(h)) for h in tokens]))
            scores.append(float(np.mean(per_item)))
        return scores

    def batch(self, items: tuple[Item, ...], top_k: int, temperature: float) -> dict[str, Any]:
        """Returns weights, A and B by layer."""
        model: Any = _TOY["toy_model"]().eval()
        found = {}
        for layer in LAYERS:
            scores = self._scores(model, layer, items)
            best = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
            total = sum(math.exp(scores[i] / temperature) for i in best)
            a, b, weights = np.zeros(1), np.zeros(1), [0.0] * len(scores)
            for i in best:
                module = self.context.load(self.sharers[i])
                weights[i] = math.exp(scores[i] / temperature) / total
                root = math.sqrt(module.scaling)
                a = a + weights[i] * root * module.factors[layer][0].double().numpy()
                b = b + weights[i] * root * module.factors[layer][1].double().numpy()
            with torch.no_grad():
                model.get_submodule(layer).weight += torch.tensor(b @ a, dtype=torch.float32)
            found[layer] = (weights, a, b)
        return found


def test_the_assembly_is_that_of_loops_over_items_and_layers(
    context: TargetContext, gates: dict[str, dict[str, torch.Tensor]]
) -> None:
    ours = per_pcs(context, SETTINGS)
    oracle = Oracle(context, gates)
    batches = [oracle.batch(part, 2, 0.7) for part in (HISTORY[:2], HISTORY[2:4], HISTORY[4:])]
    assert ours.notes["batches"] == 3
    shares, layer_means = [], []
    for layer in LAYERS:
        a = np.mean([batch[layer][1] for batch in batches], axis=0)
        b = np.mean([batch[layer][2] for batch in batches], axis=0)
        np.testing.assert_allclose(_dense(ours.adapter, layer), b @ a, atol=2e-4)
        layer_means.append(np.mean([batch[layer][0] for batch in batches], axis=0))
        shares.append(layer_means[-1] ** 2)
    np.testing.assert_allclose(ours.weights, np.mean(shares, axis=0), atol=1e-5)
    mean = np.mean(layer_means, axis=0)
    assert ours.notes["entropy"] == pytest.approx(-sum(w * math.log(w) for w in mean), abs=1e-5)
    # The sharers differ, and which are best changes from layer to layer; otherwise little was tested.
    assert len({tuple(np.argsort(batch[layer][0])) for batch in batches for layer in LAYERS}) > 2


def test_the_weights_are_each_sharers_own_part_of_the_change(context: TargetContext) -> None:
    """With factors that are orthogonal between sharers, the own parts can be read off the change."""
    base = context.base
    modules = {}
    for place, sharer in enumerate(SHARERS):
        factors = {}
        for name in LAYERS:
            layer: Any = base.model.get_submodule(name)
            a, b = torch.zeros(1, layer.in_features), torch.zeros(layer.out_features, 1)
            a[0, place], b[place, 0] = 0.01, 0.01
            factors[name] = (a, b)
        modules[sharer] = LoraModule(1, 2.0, False, factors)
    ours = per_pcs(replace(context, module=modules.__getitem__), SETTINGS)
    for place, sharer in enumerate(SHARERS):
        own = [
            _dense(ours.adapter, name)[place, place] / _dense(modules[sharer], name)[place, place]
            for name in LAYERS
        ]
        assert ours.weights[place] == pytest.approx(np.mean(own), abs=1e-4)


def test_one_sharer_is_exactly_that_sharer(context: TargetContext, modules: dict[str, LoraModule]) -> None:
    ours = per_pcs(replace(context, sharers=("bob",)), SETTINGS)
    assert (ours.sources, ours.weights) == (("bob",), (1.0,))
    assert ours.notes["entropy"] == 0.0
    for name in LAYERS:
        np.testing.assert_allclose(_dense(ours.adapter, name), _dense(modules["bob"], name), atol=1e-5)


def test_gates_that_tell_nothing_give_the_first_sharers_equal_weights(context: TargetContext) -> None:
    zeros = {name: torch.zeros(32) for name in LAYERS}
    ours = per_pcs(replace(context, gates=lambda sharer: zeros), SETTINGS)
    assert ours.weights == pytest.approx((0.25, 0.25, 0.0))
    assert ours.notes["entropy"] == pytest.approx(math.log(2), abs=1e-6)


def test_more_than_all_sharers_cannot_be_chosen(context: TargetContext) -> None:
    three, many = (per_pcs(context, SETTINGS.model_copy(update={"top_k": k})) for k in (3, 50))
    assert three.weights == many.weights
    assert min(three.weights) > 0


def test_a_score_is_a_mean_over_a_rows_answer_tokens_and_then_over_rows() -> None:
    # LN((3, 1)) = (1, -1) and LN((1, 3)) = (-1, 1), but for the epsilon; the gates are the same two.
    up, down, ignored = (3.0, 1.0), (1.0, 3.0), (50.0, -50.0)
    inputs = torch.tensor([[up, ignored, ignored], [down, down, up]])
    answers = torch.tensor([[True, False, False], [True, True, True]])
    gates = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / math.sqrt(2)
    weights = weigh(inputs, answers, gates, top_k=2, temperature=0.5)
    score = math.sqrt(2) * (1 + (-1 / 3)) / 2
    expected = 1 / (1 + math.exp(-2 * score / 0.5))
    assert weights.tolist() == pytest.approx([expected, 1 - expected], abs=1e-4)
    assert weigh(inputs, answers, gates, top_k=1, temperature=0.5).tolist() == [1.0, 0.0]


def test_the_deployed_factors_are_balanced_and_no_sharers(
    context: TargetContext, modules: dict[str, LoraModule]
) -> None:
    adapter = per_pcs(replace(context, sharers=("bob",)), SETTINGS).adapter
    assert adapter is not None
    assert adapter.rank == adapter.alpha == 3
    for name, (a, b) in adapter.factors.items():
        torch.testing.assert_close(a @ a.T, b.T @ b, atol=1e-4, rtol=1e-4)
        theirs = modules["bob"].factors[name][0]
        cosines = torch.nn.functional.cosine_similarity(a[:, None], theirs[None], dim=2)
        assert float(cosines.abs().max()) < 0.999


def test_only_the_latest_items_are_read_and_the_base_stays(context: TargetContext, lm: LanguageModel) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    capped = per_pcs(context, SETTINGS.model_copy(update={"max_items": 2}))
    short = per_pcs(replace(context, target=replace(context.target, history=HISTORY[-2:])), SETTINGS)
    assert capped.weights == short.weights != per_pcs(context, SETTINGS).weights
    assert capped.adapter is not None
    assert short.adapter is not None
    assert capped.adapter.digest == short.adapter.digest
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    assert not any(layer._forward_hooks for layer in lm.model.modules())


def test_an_empty_history_falls_back_to_the_base(context: TargetContext) -> None:
    ours = per_pcs(replace(context, target=replace(context.target, history=())), SETTINGS)
    assert ours.reverted
    assert ours.adapter is None
    assert (ours.weights, ours.sources) == ((), ())
    assert "no item" in ours.reason


def test_unequal_ranks_are_refused_by_name(
    context: TargetContext, lm: LanguageModel, modules: dict[str, LoraModule]
) -> None:
    mixed = {**modules, "cy": _module(lm, 2, rank=2)}
    with pytest.raises(ModelError, match="modules ann and cy have ranks 3 and 2 in layer"):
        per_pcs(replace(context, module=mixed.__getitem__), SETTINGS)


def test_a_module_of_another_base_and_missing_gates_are_refused(
    context: TargetContext, modules: dict[str, LoraModule]
) -> None:
    def wide(user: str) -> LoraModule:
        factors = {name: (a.repeat(1, 2), b) for name, (a, b) in modules[user].factors.items()}
        return replace(modules[user], factors=factors)

    with pytest.raises(ModelError, match="for another base"):
        per_pcs(replace(context, module=wide), SETTINGS)
    with pytest.raises(ValueError, match="no gates"):
        per_pcs(replace(context, gates=None), SETTINGS)


def test_a_method_that_needs_gates_says_how_to_train_them() -> None:
    assert METHODS["per-pcs"].needs_gates
    refused = "does not say how to train them"
    with pytest.raises(ConfigError, match=refused):
        register("x", settings=MethodSettings, family="merging", label="X", needs_gates=True)
    with pytest.raises(ConfigError, match=refused):
        register("x", settings=PerPcsMethod, family="prompt", label="X", needs_gates=True)
