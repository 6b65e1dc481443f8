from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, generate, score_labels, score_tokens
from prime_audit.modules import AdapterBank, LoraModule, merged_into, write_module

MakeModule = Callable[..., LoraModule]
IDS = torch.arange(3, 23).reshape(2, 10)


@pytest.fixture(scope="module")
def modules(make_module: MakeModule) -> list[LoraModule]:
    """Three modules with other ranks, alphas and scalings."""
    return [
        make_module(0, rank=4, alpha=8.0),
        make_module(1, rank=2, alpha=3.0, rslora=True),
        make_module(2, rank=5, alpha=1.0),
    ]


def _logits(lm: LanguageModel, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = lm.model(ids).logits
    return logits


def _mixed(
    lm: LanguageModel, modules: list[LoraModule], rows: list[list[float]], ids: torch.Tensor
) -> torch.Tensor:
    with AdapterBank(modules).rows(lm.model, torch.tensor(rows)):
        return _logits(lm, ids)


def _dense(lm: LanguageModel, modules: list[LoraModule], weights: list[float]) -> torch.Tensor:
    """Logits of the model with ``sum of w s B A`` written into its weights."""
    for module, weight in zip(modules, weights, strict=True):
        factors = {name: (a, weight * b) for name, (a, b) in module.factors.items()}
        lm = merged_into(lm, LoraModule(module.rank, module.alpha, module.rslora, factors))
    return _logits(lm)


def test_zero_weights_are_the_base(lm: LanguageModel, modules: list[LoraModule]) -> None:
    assert torch.equal(_mixed(lm, modules, [[0.0] * 3] * 2, IDS), _logits(lm))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_unit_weight_is_that_module_in_peft(
    lm: LanguageModel,
    make_lm: Callable[..., LanguageModel],
    modules: list[LoraModule],
    tmp_path: Path,
    which: int,
) -> None:
    write_module(modules[which], tmp_path / "adapter", "toy")
    # In double precision: in single, a processor's own rounding reaches the tolerance.
    theirs = PeftModel.from_pretrained(make_lm().model, tmp_path / "adapter").eval().double()
    ours = make_lm()
    ours.model.double()
    with torch.no_grad():
        expected = theirs(input_ids=IDS).logits
    unit = np.eye(3)[which].tolist()
    torch.testing.assert_close(_mixed(ours, modules, [unit, unit], IDS), expected, atol=1e-5, rtol=1e-5)
    assert float((expected - _logits(lm)).abs().max()) > 0.1


def test_rows_equal_sequential_merges_and_the_dense_change(
    lm: LanguageModel, modules: list[LoraModule]
) -> None:
    rows = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.4, -0.7, 1.2], [1 / 3, 1 / 3, 1 / 3]]
    together = _mixed(lm, modules, rows, IDS[:1].repeat(4, 1))
    for place, weights in enumerate(rows):
        alone = _mixed(lm, modules, [weights], IDS[:1])[0]
        dense = _dense(lm, modules, weights)[0]
        torch.testing.assert_close(together[place], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[place], dense, atol=3e-5, rtol=1e-5)


def test_the_model_is_restored_even_after_an_error(lm: LanguageModel, modules: list[LoraModule]) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    logits = _logits(lm)
    with pytest.raises(RuntimeError, match="inside"), AdapterBank(modules).rows(lm.model, torch.ones(2, 3)):
        raise RuntimeError("inside")
    assert torch.equal(_logits(lm), logits)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    assert not any(layer._forward_hooks for layer in lm.model.modules())


EXAMPLES = [Example(f"prompt {i % 2} {'long ' * (i % 3)}:", f" answer {i}") for i in range(6)]
ROWS = np.random.default_rng(0).normal(size=(6, 3))


def test_scores_follow_their_own_row(lm: LanguageModel, modules: list[LoraModule]) -> None:
    bank = AdapterBank(modules)
    together = score_tokens(lm, EXAMPLES, adapters=bank, weights=ROWS)
    for i, example in enumerate(EXAMPLES):
        alone = score_tokens(lm, [example], adapters=bank, weights=ROWS[i : i + 1])
        # The last digit of a float32 of 8 nats is 1e-6.
        np.testing.assert_allclose(together.logp[together.record(i)], alone.logp, atol=1e-5, rtol=1e-6)
    assert not np.allclose(together.logp, score_tokens(lm, EXAMPLES).logp, atol=0.1)


def test_texts_and_labels_follow_their_own_row(lm: LanguageModel, modules: list[LoraModule]) -> None:
    bank, prompts = AdapterBank(modules), [example.prompt for example in EXAMPLES]
    texts = generate(lm, prompts, max_new_tokens=6, adapters=bank, weights=ROWS)
    labels = score_labels(lm, prompts, ["x", "long label"], adapters=bank, weights=ROWS)
    for i, prompt in enumerate(prompts):
        row = ROWS[i : i + 1]
        assert generate(lm, [prompt], max_new_tokens=6, adapters=bank, weights=row) == [texts[i]]
        alone = score_labels(lm, [prompt], ["x", "long label"], adapters=bank, weights=row)
        np.testing.assert_allclose(labels[i], alone[0], atol=5e-5)
    assert texts != generate(lm, prompts, max_new_tokens=6)


def test_wrong_weights_are_refused(lm: LanguageModel, modules: list[LoraModule]) -> None:
    bank = AdapterBank(modules)
    with pytest.raises(ValueError, match=r"expected \(6, 3\)"):
        score_tokens(lm, EXAMPLES, adapters=bank, weights=np.ones((6, 2)))
    with pytest.raises(ValueError, match="finite"):
        score_tokens(lm, EXAMPLES, adapters=bank, weights=np.full((6, 3), np.nan))
    with pytest.raises(ModelError, match="2 rows were expected"):
        _mixed(lm, modules, [[0.0] * 3] * 2, IDS[:1])
