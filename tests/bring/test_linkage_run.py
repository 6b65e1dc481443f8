"""Linkage of real adapter files: PEFT's own merges, our exports, and pools that cannot be compared."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import prime_audit
from prime_audit.errors import PrimeAuditError
from prime_audit.modules import LoraModule, export, read_module, write_module
from prime_audit.results import Results

SHARERS = ("ann", "bob", "cyd", "dee", "eve", "fay")
MERGED = SHARERS[:3]
WEIGHTS = (0.6, 0.3, 0.4)


def base_model(hidden: int = 48) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    return LlamaForCausalLM(config)


def config(changes: Mapping[str, object] = MappingProxyType({})) -> LoraConfig:
    settings: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
    }
    return LoraConfig(**(settings | dict(changes)))


def fill(model: PeftModel, name: str, seed: int) -> None:
    """Random numbers in place of training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if f".{name}." in key:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def with_sharers(of_one: Mapping[str, object] = MappingProxyType({})) -> PeftModel:
    """A model with six adapters; the settings of the second one may differ."""
    first, *others = SHARERS
    model = get_peft_model(base_model(), config(), adapter_name=first)
    for name in others:
        model.add_adapter(name, config(of_one if name == "bob" else {}))
    for seed, name in enumerate(SHARERS):
        fill(model, name, seed)
    return model


def save(model: PeftModel, folder: Path, name: str) -> Path:
    model.save_pretrained(str(folder), selected_adapters=[name])
    return folder / name


@pytest.fixture(scope="module")
def sharers(tmp_path_factory: pytest.TempPathFactory) -> tuple[PeftModel, Path]:
    """The adapters in memory, and the pool that they are saved in."""
    model, pool = with_sharers(), tmp_path_factory.mktemp("pool")
    for name in SHARERS:
        save(model, pool, name)
    return model, pool


def values(results: Results, name: str) -> Mapping[str, float]:
    return {m.user: m.value for m in results.metrics if m.id == name and m.user and m.value is not None}


def named(results: Results) -> tuple[str, ...]:
    return tuple(user for user, value in values(results, "linkage.named").items() if value)


def whole(results: Results, name: str) -> float:
    (metric,) = (m for m in results.metrics if m.id == name)
    assert metric.value is not None
    return metric.value


def link(adapter: Path, pool: Path, out: Path) -> Results:
    return prime_audit.attack(kind="linkage", adapter=adapter, pool=pool, out=out)


@pytest.mark.parametrize(
    ("how", "options", "space"),
    [
        ("linear", {}, "factor"),
        ("cat", {}, "exact"),
        ("svd", {"svd_rank": 12}, "exact"),
        ("svd", {"svd_rank": 6}, "exact"),
        ("ties", {"density": 0.5}, "factor"),
        ("dare_linear", {"density": 0.5}, "factor"),
        ("ties_svd", {"density": 0.5, "svd_rank": 8}, "exact"),
        ("dare_linear_svd", {"density": 0.5, "svd_rank": 8}, "exact"),
    ],
)
def test_merges_made_by_peft_are_recognised(
    how: str, options: dict[str, Any], space: str, sharers: tuple[PeftModel, Path], tmp_path: Path
) -> None:
    model, pool = sharers
    torch.manual_seed(1)
    model.add_weighted_adapter(list(MERGED), list(WEIGHTS), "merged", combination_type=how, **options)
    folder = save(model, tmp_path, "merged")
    model.delete_adapter("merged")
    results = link(folder, pool, tmp_path / "out")
    assert named(results) == MERGED
    assert results.attacks[0].params["space"] == space
    weights = values(results, "linkage.weight")
    assert list(weights) == list(SHARERS)
    assert len(values(results, "linkage.score")) == len(SHARERS)
    if how in ("linear", "cat") or options == {"svd_rank": 12}:
        wanted = [*WEIGHTS, 0, 0, 0]
        np.testing.assert_allclose(list(weights.values()), wanted, atol=1e-4)
        assert whole(results, "linkage.unexplained") < 1e-6
    else:
        assert whole(results, "linkage.unexplained") > 0.01
        assert min(weights[name] for name in MERGED) > 0.05


def test_signs_of_a_linear_merge_and_a_weight_of_zero(
    sharers: tuple[PeftModel, Path], tmp_path: Path
) -> None:
    model, pool = sharers
    model.add_weighted_adapter(list(MERGED), [0.5, -0.4, 0.0], "merged", combination_type="linear")
    folder = save(model, tmp_path, "merged")
    model.delete_adapter("merged")
    results = link(folder, pool, tmp_path / "out")
    assert named(results) == ("ann", "bob")
    assert list(values(results, "linkage.weight").values()) == pytest.approx(
        [0.5, -0.4, 0, 0, 0, 0], abs=1e-4
    )
    scores = values(results, "linkage.score")
    assert max(scores["cyd"], scores["dee"], scores["eve"]) < 0.1


def test_ranks_alphas_and_rank_stabilised_scalings_are_read(tmp_path: Path) -> None:
    of_one = {"r": 6, "use_rslora": True, "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"q_proj": 3}}
    model, pool = with_sharers(of_one), tmp_path / "pool"
    for name in SHARERS:
        save(model, pool, name)
    model.add_weighted_adapter(["ann", "bob"], [0.7, 0.5], "merged", combination_type="cat")
    results = link(save(model, tmp_path, "merged"), pool, tmp_path / "out")
    assert named(results) == ("ann", "bob")
    assert list(values(results, "linkage.weight").values()) == pytest.approx([0.7, 0.5, 0, 0, 0, 0], abs=1e-4)


@pytest.mark.parametrize(
    ("space", "form", "read"),
    [("exact", "svd", "exact"), ("exact", "cat", "exact"), ("factor", "svd", "rotated")],
)
def test_our_own_exports_are_recognised(
    space: Literal["exact", "factor"],
    form: Literal["svd", "cat"],
    read: str,
    sharers: tuple[PeftModel, Path],
    tmp_path: Path,
) -> None:
    _, pool = sharers
    modules = [read_module(pool / name) for name in MERGED]
    write_module(export(modules, [0.5, 0.3, -0.4], space=space, form=form), tmp_path / "merged", "base")
    results = link(tmp_path / "merged", pool, tmp_path / "out")
    assert named(results) == MERGED
    assert results.attacks[0].params["space"] == read
    # The coefficient of s B A: w in exact space, w² in that of factors.
    wanted = [0.5, 0.3, -0.4] if space == "exact" else [0.25, 0.09, 0.16]
    got = values(results, "linkage.weight")
    assert [got[name] for name in MERGED] == pytest.approx(wanted, abs=1e-4)
    if space == "factor":
        sides = {
            (m.user, (m.slice or {})["factor"]): m.value for m in results.metrics if m.id == "linkage.factor"
        }
        root = modules[0].scaling ** 0.5
        assert [(sides[name, "A"] or 0) / root for name in MERGED] == pytest.approx(
            [0.5, 0.3, -0.4], abs=1e-3
        )


def test_an_incomplete_pool_and_strangers(
    sharers: tuple[PeftModel, Path], tmp_path: Path, copy: Callable[..., Path]
) -> None:
    _, pool = sharers
    modules = [read_module(pool / name) for name in MERGED]
    write_module(export(modules, [0.4, 0.3, 0.3]), tmp_path / "merged", "base")
    part = link(tmp_path / "merged", copy(pool, "bob", "dee", "eve"), tmp_path / "out")
    assert named(part) == ("bob",)
    assert 0.3 < whole(part, "linkage.unexplained") < 0.95
    strangers = link(tmp_path / "merged", copy(pool, "dee", "eve", "fay"), tmp_path / "out")
    assert named(strangers) == ()
    assert whole(strangers, "linkage.unexplained") > 0.95


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """Makes a pool of some of the sharers: ``copy(pool, *names)``."""

    def make(pool: Path, *names: str) -> Path:
        folder = tmp_path / "-".join(names)
        for name in names:
            write_module(read_module(pool / name), folder / name, "base")
        return folder

    return make


def rewritten(
    module: LoraModule, change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> LoraModule:
    factors = {layer: change(a, b) for layer, (a, b) in module.factors.items()}
    return LoraModule(module.rank, module.alpha, module.rslora, factors)


def test_what_cannot_be_compared_is_said_and_writes_nothing(
    sharers: tuple[PeftModel, Path], tmp_path: Path, copy: Callable[..., Path]
) -> None:
    _, pool = sharers
    ann = read_module(pool / "ann")
    write_module(export([ann, read_module(pool / "bob")], [0.5, 0.5]), tmp_path / "merged", "base")

    def refused(match: str, adapter: Path, candidates: Path) -> None:
        with pytest.raises(PrimeAuditError, match=match) as caught:
            link(adapter, candidates, tmp_path / "out")
        assert caught.value.exit_code == 2
        assert caught.value.hint
        assert not (tmp_path / "out").exists()

    merged = tmp_path / "merged"
    (tmp_path / "empty").mkdir()
    refused("there is no adapter in it", merged, tmp_path / "empty")
    refused("no such folder", merged, tmp_path / "nowhere")
    refused("there is no adapter_config.json", tmp_path / "empty", pool)
    odd = copy(pool, "bob", "cyd")
    (odd / "notes").mkdir()
    refused("there is no adapter_config.json", merged, odd)
    refused("'ann' is the adapter itself", pool / "ann", pool)
    wide = rewritten(ann, lambda a, b: (torch.cat([a, a], dim=1), b))
    write_module(wide, odd / "notes", "base")
    refused("'notes' is for another base than .*: layer .* is 48 x 96 in one and 48 x 48", merged, odd)
    write_module(rewritten(ann, lambda a, b: (a, 0 * b)), odd / "notes", "base")
    refused("'notes' changes nothing", merged, odd)
    elsewhere = {f"other.{layer}": pair for layer, pair in ann.factors.items()}
    write_module(LoraModule(ann.rank, ann.alpha, ann.rslora, elsewhere), odd / "notes", "base")
    refused("'notes' changes none of the layers", merged, odd)
    write_module(read_module(pool / "bob"), odd / "notes", "base")
    refused("'bob' and 'notes' hold the same module", merged, odd)


def test_another_base_name_and_dependent_candidates_are_noted(
    sharers: tuple[PeftModel, Path], tmp_path: Path, copy: Callable[..., Path]
) -> None:
    _, pool = sharers
    ann, bob = (read_module(pool / name) for name in ("ann", "bob"))
    some = copy(pool, "ann", "bob")
    # Twice the same direction: the weights of the two cannot be told apart.
    write_module(rewritten(ann, lambda a, b: (a, 2 * b)), some / "twin", "elsewhere/other")
    write_module(export([ann, bob], [0.5, 0.5]), tmp_path / "merged", "base")
    results = link(tmp_path / "merged", some, tmp_path / "out")
    (condition,) = (m for m in results.metrics if m.id == "linkage.condition")
    assert condition.value is None or condition.value > 1e6
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert "1 of the candidates name another one, such as 'twin' with 'other'" in manifest["notes"][0]
    assert "which of them is in the adapter cannot be told" in manifest["notes"][1]
    assert named(results) == ("bob",)
