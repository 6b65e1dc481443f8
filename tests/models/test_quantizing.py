"""A base in 4 bits: what its layers hold, how far it lies from the full one, and what is refused."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime_audit.bundled import TINY
from prime_audit.config import ModelConfig
from prime_audit.errors import ConfigError, ModelError
from prime_audit.models import (
    FOUR_BITS,
    Example,
    LanguageModel,
    check_quantization,
    load_model,
    model_outline,
    score_tokens,
)
from prime_audit.models import quantizing as quantizing_module
from tests.support import environment, needs_bitsandbytes

# The NormalFloat levels of QLoRA (arXiv 2305.14314), appendix E.
NF4 = torch.tensor(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
        *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
        *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
        *(0.7229568362236023, 1.0),
    ]
)
BLOCK = 64
EXAMPLES = [
    Example("Headline of an article on a bridge that was opened:", " a bridge for the town"),
    Example("Headline of an article on two friends and a garden:", " friends in the garden"),
]


def load(tmp_path: Path, base: str = "tiny", **settings: object) -> LanguageModel:
    config = ModelConfig.model_validate({"base": base, "device": "cpu", "dtype": "float32", **settings})
    return load_model(config, tmp_path)


def linear(lm: LanguageModel) -> dict[str, nn.Linear]:
    found = lm.model.named_modules()
    return {name: layer for name, layer in found if isinstance(layer, nn.Linear) and "layers." in name}


def held(layer: nn.Linear) -> Tensor:
    functional = importlib.import_module("bitsandbytes.functional")
    weight: Any = layer.weight
    found: Tensor = functional.dequantize_4bit(weight.data, weight.quant_state)
    return found


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, device: str, tmp_path: Path) -> None:
    monkeypatch.setattr(quantizing_module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"model\.quantize is 4bit, which needs bitsandbytes") as caught:
        check_quantization(device)
    assert "pip install 'prime-audit[gpu]'" in caught.value.hint
    with pytest.raises(ConfigError, match="bitsandbytes"):
        load(tmp_path, quantize="4bit")


def test_a_device_that_fetches_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing_module, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="the device is mps") as caught:
        check_quantization("mps")
    assert "model.device: cpu" in caught.value.hint


@pytest.mark.parametrize("quantize", [None, "4bit"])
def test_files_that_are_quantised_already_are_refused(tmp_path: Path, quantize: str | None) -> None:
    folder = tmp_path / "quantised"
    shutil.copytree(TINY, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(settings))
    if quantize is not None and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    with pytest.raises(ModelError, match="quantised already"):
        load(tmp_path, str(folder), quantize=quantize)


@needs_bitsandbytes
def test_linear_layers_are_packed_and_all_else_stays_in_full(tmp_path: Path) -> None:
    full, packed = load(tmp_path), load(tmp_path, quantize="4bit")
    assert full.quantization is None
    assert packed.quantization == FOUR_BITS
    assert FOUR_BITS == {"bits": 4, "type": "nf4", "double": True}
    assert linear(packed).keys() == linear(full).keys()
    for name, layer in linear(packed).items():
        weight: Any = layer.weight
        assert type(layer).__name__ == "Linear4bit", name
        assert weight.dtype == torch.uint8
        # Two weights in a byte.
        assert weight.numel() == layer.in_features * layer.out_features / 2
        assert weight.quant_state.quant_type == "nf4"
        assert weight.quant_state.nested
        assert layer.compute_dtype == torch.float32
        assert (layer.in_features, layer.out_features) == (
            linear(full)[name].in_features,
            linear(full)[name].out_features,
        )
    rest = {n: p for n, p in packed.model.named_parameters() if p.dtype != torch.uint8}
    assert {p.dtype for p in rest.values()} == {torch.float32}
    assert all(torch.equal(p, full.model.get_parameter(name)) for name, p in rest.items())
    assert not any(p.requires_grad for p in packed.model.parameters())
    assert not packed.model.training
    assert packed.plain_head == full.plain_head


@needs_bitsandbytes
def test_weights_are_the_nearest_levels_of_their_blocks(tmp_path: Path) -> None:
    full, packed = load(tmp_path), load(tmp_path, quantize="4bit")
    for name, layer in linear(packed).items():
        blocks = linear(full)[name].weight.reshape(-1, BLOCK)
        scale = blocks.abs().amax(dim=1, keepdim=True)
        level = (blocks / scale)[..., None].sub(NF4).abs().argmin(dim=-1)
        expected = (NF4[level] * scale).reshape(layer.out_features, layer.in_features)
        # The scales are rounded to 8 bits around their mean, which moves a weight by far less than 2 % of the
        # largest one. A weight between two levels may so fall to either, and is then as near to both.
        near = 0.02 * float(scale.max())
        away, least = ((one.reshape_as(blocks) - blocks).abs() for one in (held(layer), expected))
        assert float((away - least).max()) <= near, name
        assert float(((held(layer) - expected).abs() > near).float().mean()) < 1e-3, name
        assert not torch.equal(held(layer), linear(full)[name].weight)


@needs_bitsandbytes
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_log_probabilities_are_close_to_those_in_full_and_not_equal(tmp_path: Path, dtype: str) -> None:
    full, packed = load(tmp_path, dtype=dtype), load(tmp_path, dtype=dtype, quantize="4bit")
    assert packed.model.dtype == getattr(torch, dtype)
    before, after = (score_tokens(lm, EXAMPLES).logp for lm in (full, packed))
    apart = np.abs(before - after).mean()
    assert 0.01 < apart < 0.6, apart


@needs_bitsandbytes
def test_its_digest_is_another_one_and_repeats(tmp_path: Path) -> None:
    full, packed, again = load(tmp_path), load(tmp_path, quantize="4bit"), load(tmp_path, quantize="4bit")
    assert packed.digest != full.digest
    assert packed.digest == again.digest
    assert score_tokens(packed, EXAMPLES).logp.tolist() == score_tokens(again, EXAMPLES).logp.tolist()


@needs_bitsandbytes
def test_it_is_outlined_like_the_full_one(tmp_path: Path) -> None:
    config = ModelConfig.model_validate({"base": "tiny", "quantize": "4bit"})
    outline = dict(model_outline(config, tmp_path).named_modules())
    for name, layer in linear(load(tmp_path, quantize="4bit")).items():
        other = outline[name]
        assert isinstance(other, nn.Linear)
        assert (layer.in_features, layer.out_features) == (other.in_features, other.out_features)


@needs_bitsandbytes
def test_nothing_is_fetched_or_said_when_bitsandbytes_is_imported(tmp_path: Path) -> None:
    package = tmp_path / "packages" / "kernels"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def get_kernel(*a, **k):\n    raise SystemExit('fetched')\n")
    program = "import prime_audit.modules, sys, kernels; sys.modules['bitsandbytes'], kernels.get_kernel"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path, package.parent),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
