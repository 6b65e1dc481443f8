import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from attacks import link
from prime_audit.audit.linkage import as_change
from prime_audit.errors import DataError, ModelError, OutputError
from prime_audit.models import LanguageModel
from prime_audit.modules import (
    AdapterBank,
    LoraModule,
    export,
    files,
    gram,
    open_module,
    read_module,
    write_module,
)

MakeModule = Callable[..., LoraModule]
MakeLm = Callable[..., LanguageModel]
IDS = torch.arange(3, 23).reshape(2, 10)


@pytest.fixture
def folder(make_module: MakeModule, tmp_path: Path) -> Path:
    write_module(make_module(0), tmp_path / "some" / "adapter", "toy")
    return tmp_path / "some" / "adapter"


def _change_config(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("rslora", [False, True])
def test_what_is_written_is_read(
    lm: LanguageModel, make_module: MakeModule, tmp_path: Path, rslora: bool
) -> None:
    module = make_module(0, rank=3, alpha=7.0, rslora=rslora)
    write_module(module, tmp_path / "a", "toy")
    again = read_module(tmp_path / "a", lm)
    assert again.digest == module.digest
    write_module(module, tmp_path / "b", "toy")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("rslora", [False, True])
def test_ranks_and_alphas_per_layer_are_folded(
    lm: LanguageModel, make_lm: MakeLm, tmp_path: Path, rslora: bool
) -> None:
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        use_rslora=rslora,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 2, "v_proj": 3},
        alpha_pattern={"v_proj": 10},
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(0)
    theirs = get_peft_model(make_lm().model, config).eval()
    theirs.save_pretrained(str(tmp_path / "a"))
    assert open_module(tmp_path / "a", lm).digest == read_module(tmp_path / "a", lm).digest
    module = read_module(tmp_path / "a", lm)
    write_module(module, tmp_path / "b", "toy")
    reloaded = PeftModel.from_pretrained(make_lm().model, tmp_path / "b").eval()
    with torch.no_grad():
        expected = theirs(input_ids=IDS).logits
        again = reloaded(input_ids=IDS).logits
        with AdapterBank([module]).rows(lm.model, torch.ones(2, 1)):
            ours = lm.model(IDS).logits
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "lora_only"}, "bias: lora_only"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"peft_type": "IA3"}, "peft_type is IA3"),
        ({"r": 9}, "has rank 4, its configuration says 9"),
        ({"r": None}, "no usable r"),
        ({"r": True}, "no usable r"),
        ({"lora_alpha": "16"}, "no usable r or lora_alpha"),
        ({"rank_pattern": ["q_proj"]}, "no usable rank_pattern"),
        ({"rank_pattern": {"q_proj": 0}}, "no usable rank_pattern"),
        ({"alpha_pattern": {"q_proj": None}}, "no usable alpha_pattern"),
        ({"alpha_pattern": {"(q_proj": 3}}, "no usable alpha_pattern"),
        ({"lora_bias": True}, "a LoRA bias"),
        ({"fan_in_fan_out": True}, "transposed weights"),
        ({"use_dora": True, "bias": "all"}, "uses DoRA, bias: all, which"),
    ],
)
def test_other_adapters_are_refused_by_name(folder: Path, changes: dict[str, object], message: str) -> None:
    _change_config(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        read_module(folder)
    assert f"module {folder}: " in str(caught.value)
    assert caught.value.hint


PLAIN = (
    "q_proj",
    "layers.3.self_attn.q_proj",
    r"^model\.layers\.0\.mlp\.up_proj",
    "layers.1.self_attn.._proj",
)
LAYERS = (
    "q_proj",
    "aq_proj",
    "layers.3.self_attn.q_proj",
    "model.layers.3.self_attn.q_proj",
    "model.layers.13.self_attn.q_proj",
    "model.layers.0.mlp.up_proj",
    "base.model.layers.0.mlp.up_proj",
    "modelxlayersx0xmlpxup_proj",
    "model.layers.1.self_attn.k_proj",
    "model.layers.1.self_attn.o_proj.x",
)


@pytest.mark.parametrize("order", [PLAIN, PLAIN[::-1]])
def test_a_layers_own_rank_is_found_as_peft_finds_it(order: tuple[str, ...]) -> None:
    ranks = {pattern: rank for rank, pattern in enumerate(order, start=2)}
    ours = files._patterns({"rank_pattern": ranks}, "rank_pattern", files._is_rank, Path("a"))
    theirs = [ranks.get(get_pattern_key(list(ranks), layer), 1) for layer in LAYERS]
    assert [files._by_pattern(ours, layer, 1) for layer in LAYERS] == theirs
    assert len(set(theirs)) >= 4


@pytest.mark.parametrize(
    "name", ["model.h.0.c_attn", "a-b.0.c d", "x/y:z.0", "a+b.(c)[0]{1}|$^\\", "mod\u00e8le.0"]
)
def test_the_pattern_that_is_written_for_a_layer_is_read_again(name: str) -> None:
    ours = files._patterns({"r": {files._exactly(name): 3}}, "r", files._is_rank, Path("a"))
    assert files._by_pattern(ours, name, 1) == 3
    assert files._by_pattern(ours, f"x.{name}", 1) == 1
    assert files._by_pattern(ours, name[:-1], 1) == 1


def test_a_pickled_adapter_is_refused(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickle") as caught:
        read_module(folder)
    assert f"module {folder}: " in str(caught.value)
    assert "save_pretrained" in caught.value.hint


def test_a_missing_or_damaged_adapter_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        read_module(tmp_path / "nowhere")
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        read_module(folder)
    path.unlink()
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        read_module(folder)
    (folder / "adapter_config.json").write_text('{"peft_type": ')
    with pytest.raises(DataError, match="ends too early"):
        read_module(folder)


def _first_key(folder: Path) -> tuple[Path, dict[str, torch.Tensor], str]:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    return path, tensors, sorted(tensors)[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_must_be_finite(folder: Path, value: float) -> None:
    path, tensors, key = _first_key(folder)
    tensors[key][0, 0] = value
    save_file(tensors, path)
    with pytest.raises(
        ModelError, match=r"NaN or infinity, such as model\.layers\.0\.self_attn\.k_proj"
    ) as caught:
        read_module(folder)
    assert f"module {folder}: 1 layers" in str(caught.value)


def test_half_a_layer_is_refused(folder: Path) -> None:
    path, tensors, key = _first_key(folder)
    del tensors[key]
    save_file(tensors, path)
    with pytest.raises(ModelError, match="has only lora_B"):
        read_module(folder)


def test_foreign_tensors_are_refused(folder: Path) -> None:
    path, tensors, _ = _first_key(folder)
    save_file(tensors | {"base_model.model.lm_head.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ModelError, match="no plain LoRA factor"):
        read_module(folder)


def test_another_base_is_refused_with_both_shapes(folder: Path, make_lm: MakeLm) -> None:
    with pytest.raises(ModelError, match="is 24 x 48 in the model and 16 x 32 in the module") as caught:
        read_module(folder, make_lm(hidden_size=48))
    assert f"module {folder}: " in str(caught.value)
    assert "base toy" in str(caught.value)


def test_a_module_knows_its_folder_and_stays_the_same_module(folder: Path, make_module: MakeModule) -> None:
    module = read_module(folder)
    assert module.origin == str(folder)
    assert module.digest == make_module(0).digest
    other = _change_targets(folder, make_module)
    for merge in (AdapterBank, gram, lambda pair: export(pair, [1.0, 1.0])):
        with pytest.raises(ModelError, match="mixed targets") as caught:
            merge([module, read_module(other)])
        assert f"modules {folder} and {other} " in str(caught.value)


def _change_targets(folder: Path, make_module: MakeModule) -> Path:
    other = folder.with_name("other")
    write_module(make_module(1, targets="qv"), other, "toy")
    return other


def test_an_alpha_of_zero_does_not_silence_layers_with_their_own(
    lm: LanguageModel, make_lm: MakeLm, folder: Path
) -> None:
    _change_config(folder, lora_alpha=0, alpha_pattern={"q_proj": 6})
    theirs = PeftModel.from_pretrained(make_lm().model, folder).eval()
    with torch.no_grad(), AdapterBank([read_module(folder)]).rows(lm.model, torch.ones(2, 1)):
        ours = lm.model(IDS).logits
    torch.testing.assert_close(ours, theirs(input_ids=IDS).logits, atol=1e-5, rtol=1e-5)
    _change_config(folder, alpha_pattern={})
    assert read_module(folder).norm() == 0.0


def test_an_impossible_place_is_named(make_module: MakeModule, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_module(make_module(0), tmp_path / "file" / "deeper" / "adapter", "toy")


def test_an_opened_module_reads_its_layers_when_they_are_looked_at(
    make_module: MakeModule, folder: Path
) -> None:
    opened, read = open_module(folder), read_module(folder)
    assert (opened.digest, list(opened.factors), opened.scaling) == (
        read.digest,
        list(read.factors),
        read.scaling,
    )
    # Nothing is kept: what the file holds now is what is seen.
    write_module(make_module(1), folder, "toy")
    layer = next(iter(read.factors))
    assert torch.equal(opened.factors[layer][0], make_module(1).factors[layer][0])
    with pytest.raises(KeyError):
        opened.factors["no.such.layer"]


def test_linkage_reads_a_layer_of_an_opened_module_few_times(
    make_module: MakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where asking whether a layer is there reads it, or where each factor is read by itself."""
    for place in range(4):
        write_module(make_module(place), tmp_path / f"m{place}", "toy")
    opened = {f"m{place}": open_module(tmp_path / f"m{place}") for place in range(4)}
    reads = []

    def opening(path: Path, framework: str) -> safe_open:
        reads.append(path)
        return safe_open(path, framework=framework)

    monkeypatch.setattr(files, "safe_open", opening)
    linked = link(as_change(make_module(9)), {name: as_change(one) for name, one in opened.items()})
    kept = link(as_change(make_module(9)), {f"m{place}": as_change(make_module(place)) for place in range(4)})
    assert linked == kept
    assert len(reads) <= 12 * sum(len(one.factors) for one in opened.values())


def test_an_opened_module_that_is_damaged_later_is_told_of(folder: Path) -> None:
    opened = open_module(folder)
    layer = next(iter(opened.factors))
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    for change in (
        lambda: save_file({key: torch.full_like(t, math.nan) for key, t in tensors.items()}, path),
        lambda: save_file({"x.lora_A.weight": torch.ones(1, 1)}, path),
        lambda: path.write_bytes(b"x"),
        path.unlink,
    ):
        change()
        with pytest.raises(ModelError, match="changed or removed while it was in use"):
            opened.factors[layer]
