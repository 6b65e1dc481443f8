"""Forms of an export: truncated, concatenated, in factor space, with weights per layer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from prime_audit.config.methods import Space
from prime_audit.errors import ModelError
from prime_audit.models import LanguageModel
from prime_audit.modules import AdapterBank, LoraModule, export, read_module, truncation_error, write_module

MakeModule = Callable[..., LoraModule]
MakeLm = Callable[..., LanguageModel]
Dense = Callable[..., dict[str, torch.Tensor]]
IDS = torch.arange(3, 23).reshape(2, 10)
WEIGHTS = [0.5, -0.8, 0.3]


@pytest.fixture(scope="module")
def modules(make_module: MakeModule) -> list[LoraModule]:
    """Ranks 4, 2 and 5; alpha is no rank, one is rank-stabilised."""
    return [
        make_module(0, rank=4, alpha=8.0, size=0.2),
        make_module(1, rank=2, alpha=3.0, rslora=True, size=0.2),
        make_module(2, rank=5, alpha=1.0, size=0.2),
    ]


@pytest.fixture(scope="module")
def equal_ranks(make_module: MakeModule) -> list[LoraModule]:
    return [make_module(i, rank=4, alpha=3.0 * (i + 1), rslora=i == 1, size=0.2) for i in range(3)]


@pytest.fixture(scope="module")
def patterned(
    make_lm: MakeLm, lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory
) -> list[LoraModule]:
    """Two adapters that PEFT wrote, with ranks and alphas of single layers' own."""
    read = []
    for seed in range(2):
        config = LoraConfig(
            r=4,
            lora_alpha=6,
            use_rslora=seed == 1,
            target_modules=["q_proj", "v_proj"],
            rank_pattern={"layers.1.self_attn.q_proj": 2 + seed, "v_proj": 3},
            alpha_pattern={"v_proj": 10},
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp("patterned")
        get_peft_model(make_lm().model, config).save_pretrained(str(folder))
        read.append(read_module(folder, lm))
    return read


def _product(module: LoraModule, name: str) -> torch.Tensor:
    a, b = module.factors[name]
    return module.scaling * b.double() @ a.double()


def _error(merged: LoraModule, dense: dict[str, torch.Tensor]) -> float:
    lost = sum(float((_product(merged, name) - change).square().sum()) for name, change in dense.items())
    return float((lost / sum(float(change.square().sum()) for change in dense.values())) ** 0.5)


CASES: dict[str, dict[str, Any]] = {
    "exact": {},
    "concatenated": {"form": "cat"},
    "full rank by number": {"rank": 99},
    "factor": {"space": "factor"},
}


@pytest.mark.parametrize("pool", ["modules", "equal_ranks", "patterned"])
@pytest.mark.parametrize("case", CASES)
def test_every_lossless_form_reloads_in_peft(
    request: pytest.FixtureRequest, lm: LanguageModel, make_lm: MakeLm, tmp_path: Path, pool: str, case: str
) -> None:
    modules: list[LoraModule] = request.getfixturevalue(pool)
    options = CASES[case]
    space = options.get("space", "exact")
    weights = WEIGHTS[: len(modules)]
    if space == "factor" and pool != "equal_ranks":
        with pytest.raises(ModelError, match="have ranks"):
            export(modules, weights, **options)
        return
    write_module(export(modules, weights, **options), tmp_path / "merged", "toy")
    theirs = PeftModel.from_pretrained(make_lm().model, tmp_path / "merged").eval()
    with torch.no_grad():
        reloaded = theirs(input_ids=IDS).logits
        with AdapterBank(modules, space).rows(lm.model, torch.tensor([weights] * 2)):
            expected = lm.model(IDS).logits
        base = lm.model(IDS).logits
    torch.testing.assert_close(reloaded, expected, atol=1e-4, rtol=0)
    assert float((expected - base).abs().max()) > 0.1


@pytest.mark.parametrize("space", ["exact", "factor"])
def test_what_is_exported_is_what_was_searched(equal_ranks: list[LoraModule], space: Space) -> None:
    model = torch.nn.Module()
    names = sorted(equal_ranks[0].factors)[:2]
    for place, name in enumerate(names):
        out, into = (equal_ranks[0].factors[name][side].shape[1 - side] for side in (1, 0))
        model.add_module(f"l{place}", torch.nn.Linear(into, out, bias=False))
    small = [
        replace(module, factors={f"l{i}": module.factors[name] for i, name in enumerate(names)})
        for module in equal_ranks
    ]
    table = np.array([[0.5, -1.0], [-0.8, 0.2], [0.3, 0.9]])
    merged = export(small, table, space=space)
    for name, layer in model.named_children():
        assert isinstance(layer, torch.nn.Linear)
        with torch.no_grad(), AdapterBank(small, space).rows(model, torch.tensor(table[None])):
            searched = layer(torch.eye(layer.in_features)[None])[0].T - layer.weight
        assert float((_product(merged, name) - searched).abs().max()) < 1e-6
        assert float(searched.abs().max()) > 0.1


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_a_truncated_export_is_the_dense_svds(
    modules: list[LoraModule], dense_change: Dense, rank: int
) -> None:
    dense = dense_change(modules, WEIGHTS, "exact")
    merged = export(modules, WEIGHTS, rank=rank)
    assert merged.rank == merged.alpha == rank
    left_out = 0.0
    for name, change in dense.items():
        u, s, vh = torch.linalg.svd(change, full_matrices=False)
        best = u[:, :rank] @ torch.diag(s[:rank]) @ vh[:rank]
        torch.testing.assert_close(_product(merged, name), best, atol=1e-5, rtol=1e-5)
        left_out += float(s[rank:].square().sum())
    expected = (left_out / sum(float(change.square().sum()) for change in dense.values())) ** 0.5
    assert truncation_error(modules, WEIGHTS, rank) == pytest.approx(expected, rel=1e-9)
    assert _error(merged, dense) == pytest.approx(expected, rel=1e-5)
    assert 0.01 < expected < 1


def test_a_truncated_factor_merge_states_its_error(
    equal_ranks: list[LoraModule], dense_change: Dense
) -> None:
    dense = dense_change(equal_ranks, WEIGHTS, "factor")
    stated = truncation_error(equal_ranks, WEIGHTS, 2, space="factor")
    assert _error(export(equal_ranks, WEIGHTS, space="factor", rank=2), dense) == pytest.approx(
        stated, rel=1e-5
    )
    assert export(equal_ranks, WEIGHTS, space="factor").rank == 4
    assert stated > 0.1


def test_nothing_is_lost_at_full_rank(modules: list[LoraModule]) -> None:
    assert export(modules, WEIGHTS, rank=11).digest == export(modules, WEIGHTS).digest
    assert truncation_error(modules, WEIGHTS, 11) == 0.0
    assert truncation_error(modules, [0.0, 0.0, 0.0], 1) == 0.0
    errors = [truncation_error(modules, WEIGHTS, rank) for rank in range(1, 12)]
    assert errors == sorted(errors, reverse=True)


def _slices(merged: LoraModule, ranks: list[int], name: str) -> list[torch.Tensor]:
    a, b = merged.factors[name]
    return [
        right.T @ left for left, right in zip(torch.split(a, ranks), torch.split(b.T, ranks), strict=True)
    ]


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(
        torch.nn.functional.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0)
    )


def test_concatenation_publishes_the_modules_and_the_svd_does_not(modules: list[LoraModule]) -> None:
    ranks, signs = [4, 2, 5], np.sign(WEIGHTS)
    cat, svd = export(modules, WEIGHTS, form="cat"), export(modules, WEIGHTS)
    for name in cat.factors:
        for place, module in enumerate(modules):
            own = _product(module, name)
            cut = _slices(cat, ranks, name)[place]
            assert signs[place] * _cosine(cut, own) == pytest.approx(1.0, abs=1e-6)
            assert max(abs(_cosine(piece, own)) for piece in _slices(svd, ranks, name)) < 0.99


def test_a_factor_export_holds_no_sharers_factor(equal_ranks: list[LoraModule]) -> None:
    merged = export(equal_ranks, WEIGHTS, space="factor")
    normalize = torch.nn.functional.normalize
    for name, (a, b) in merged.factors.items():
        for module in equal_ranks:
            own_a, own_b = module.factors[name]
            assert float((normalize(a) @ normalize(own_a).T).abs().max()) < 0.99
            assert float((normalize(b.T) @ normalize(own_b, dim=0)).abs().max()) < 0.99
        torch.testing.assert_close(a @ a.T, b.T @ b, atol=1e-4, rtol=1e-4)


def test_concatenation_leaves_nothing_of_a_module_of_weight_zero(modules: list[LoraModule]) -> None:
    merged = export(modules, [0.5, 0.0, 0.3], form="cat")
    for a, b in merged.factors.values():
        assert not a[4:6].any()
        assert not b[:, 4:6].any()
        assert bool(a[:4].any())


def test_weights_per_layer_reach_their_layer(modules: list[LoraModule], dense_change: Dense) -> None:
    table = np.random.default_rng(2).normal(size=(3, 8))
    table[:, 5] = 0
    merged = export(modules, table)
    dense = dense_change(modules, table, "exact")
    for place, name in enumerate(AdapterBank(modules).layers):
        torch.testing.assert_close(_product(merged, name), dense[name], atol=1e-5, rtol=1e-5)
        assert bool(dense[name].any()) == (place != 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named(modules: list[LoraModule], value: float) -> None:
    with pytest.raises(ModelError, match=rf"weight of module 1 is {value}"):
        export(modules, [0.5, value, 0.3])
    table = np.ones((3, 8))
    table[2, 1] = value
    named = [*modules[:2], replace(modules[2], origin="pool/ann")]
    with pytest.raises(ModelError, match=rf"module pool/ann in layer model\.layers\.0\..*o_proj is {value}"):
        truncation_error(named, table, 2)


def test_impossible_forms_are_refused(modules: list[LoraModule], equal_ranks: list[LoraModule]) -> None:
    with pytest.raises(ValueError, match="'cat' exists in exact space at full rank only"):
        export(modules, WEIGHTS, form="cat", rank=3)
    with pytest.raises(ValueError, match="'cat' exists in exact space at full rank only"):
        export(equal_ranks, WEIGHTS, form="cat", space="factor")
    for call in (export, truncation_error):
        with pytest.raises(ValueError, match="rank is 0"):
            call(modules, WEIGHTS, rank=0)
    with pytest.raises(ValueError, match=r"shape \(3, 2\); expected \(3, 8\)"):
        export(modules, np.ones((3, 2)))
