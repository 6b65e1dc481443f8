from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from prime_audit.errors import ModelError
from prime_audit.models import LanguageModel
from prime_audit.modules import AdapterBank, LoraModule, export, write_module

MakeModule = Callable[..., LoraModule]
MakeLm = Callable[..., LanguageModel]
IDS = torch.arange(3, 23).reshape(2, 10)


def _dense(modules: list[LoraModule], weights: list[float], name: str) -> torch.Tensor:
    parts = []
    for module, weight in zip(modules, weights, strict=True):
        a, b = module.factors[name]
        parts.append(weight * module.scaling * b.double() @ a.double())
    return torch.stack(parts).sum(dim=0)


@pytest.mark.parametrize(
    "ranks", [(4, 4), (4, 2, 5), (12, 12)], ids=["equal ranks", "unequal ranks", "more ranks than outputs"]
)
def test_the_export_is_the_merge_and_reloads_in_peft(
    lm: LanguageModel, make_lm: MakeLm, make_module: MakeModule, tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    modules = [make_module(i, rank=r, alpha=3.0 * (i + 1), rslora=i == 1) for i, r in enumerate(ranks)]
    weights = [0.5, -0.8, 0.3][: len(ranks)]
    merged = export(modules, weights)
    assert merged.rank == merged.alpha == sum(ranks)
    assert merged.scaling == 1.0
    for name, (a, b) in merged.factors.items():
        torch.testing.assert_close(
            b.double() @ a.double(), _dense(modules, weights, name), atol=1e-5, rtol=1e-5
        )
    write_module(merged, tmp_path / "merged", "toy")
    theirs = PeftModel.from_pretrained(make_lm().model, tmp_path / "merged").eval()
    with torch.no_grad():
        reloaded = theirs(input_ids=IDS).logits
        with AdapterBank(modules).rows(lm.model, torch.tensor([weights] * 2)):
            expected = lm.model(IDS).logits
    torch.testing.assert_close(reloaded, expected, atol=1e-4, rtol=0)


def test_the_factors_are_balanced_and_orthogonal(make_module: MakeModule) -> None:
    merged = export([make_module(0), make_module(1)], [0.7, 0.4])
    for a, b in merged.factors.values():
        gram_a, gram_b = a @ a.T, b.T @ b
        torch.testing.assert_close(gram_a, gram_b, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(gram_a, torch.diag(gram_a.diagonal()), atol=1e-4, rtol=0)


def test_no_slice_is_a_sharers_module(make_module: MakeModule) -> None:
    modules = [make_module(0), make_module(1)]
    merged = export(modules, [1.0, 1.0])
    name = next(iter(merged.factors))
    rows = torch.nn.functional.normalize(merged.factors[name][0], dim=1)
    theirs = torch.nn.functional.normalize(modules[0].factors[name][0], dim=1)
    assert float((rows @ theirs.T).abs().max()) < 0.999


def test_weight_zero_leaves_a_module_out(make_module: MakeModule) -> None:
    both = export([make_module(0), make_module(1)], [0.7, 0.0])
    one = export([make_module(0)], [0.7])
    for name, (a, b) in both.factors.items():
        torch.testing.assert_close(b @ a, one.factors[name][1] @ one.factors[name][0], atol=1e-5, rtol=1e-5)
    nothing = export([make_module(0)], [0.0])
    assert nothing.norm() == 0.0
    assert all(bool(t.isfinite().all()) for pair in nothing.factors.values() for t in pair)


def test_equal_merges_have_equal_digests(make_module: MakeModule) -> None:
    modules = [make_module(0), make_module(1)]
    assert export(modules, [0.2, 0.3]).digest == export(modules, [0.2, 0.3]).digest


def test_bad_merges_are_refused(make_module: MakeModule) -> None:
    with pytest.raises(ModelError, match="no module to merge"):
        export([], [])
    with pytest.raises(ValueError, match="1 modules and 2 weights"):
        export([make_module(0)], [1.0, 2.0])
