"""A personalisation on a base in 4 bits: its card loads what was measured, and precisions are not mixed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import prime_audit
from prime_audit.bundled import TINY
from prime_audit.config import ModelConfig, TrainingConfig
from prime_audit.errors import ModelError
from prime_audit.models import FOUR_BITS, Example, LanguageModel, load_model
from prime_audit.modules import AdapterBank, LoraModule, merged_into, read_module, train_module, write_module
from prime_audit.personalize.adapters import Adapters, check_precision, find_adapters
from tests.support import needs_bitsandbytes

TEXTS = ("a bridge for the town", "friends in the garden", "a late win")
SETTINGS = ("model.quantize=4bit", "model.device=cpu", "model.dtype=float32")


def base(quantize: str | None) -> LanguageModel:
    settings = {"base": "tiny", "device": "cpu", "dtype": "float32", "quantize": quantize}
    return load_model(ModelConfig.model_validate(settings), Path("unused"))


def trained(lm: LanguageModel, seed: int) -> LoraModule:
    training = TrainingConfig(rank=2, alpha=4.0, lr=5e-3, epochs=1, batch_size=1)
    return train_module(lm, [Example("Headline:", f" {text}") for text in TEXTS], training, seed)


def written(home: Path, lm: LanguageModel) -> tuple[Path, Path, Path]:
    """Adapters of two sharers, a task adapter that they sit on, and a history."""
    task = trained(lm, 1)
    write_module(task, home / "task", "tiny")
    for place, name in enumerate(("bob", "eve")):
        write_module(trained(merged_into(lm, task), 2 + place), home / "sharers" / name, "tiny")
    lines = [json.dumps({"input": f"an article: {text}", "answer": text}) for text in TEXTS]
    (home / "ann.jsonl").write_text("\n".join(lines) + "\n")
    return home / "sharers", home / "task", home / "ann.jsonl"


@needs_bitsandbytes
@pytest.mark.parametrize("adapted", [False, True])
def test_the_card_loads_what_was_measured(tmp_path: Path, adapted: bool) -> None:
    lm = base("4bit")
    sharers, task, history = written(tmp_path, lm)
    out = tmp_path / "out"
    prime_audit.personalize(
        "tiny",
        sharers,
        history,
        "lamp-4",
        out,
        method="uniform",
        overrides=SETTINGS,
        adapt=task if adapted else None,
        sharers=2,
    )
    card = (out / "README.md").read_text()
    assert "its linear layers in 4 bits (nf4)" in card
    assert ("beside the base's weights" in card) is adapted
    assert json.loads((out / "private.json").read_text())["base"]["quantization"] == dict(FOUR_BITS)
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    for name, path in (("tiny", TINY), ("the task adapter", task), ("this folder", out)):
        code = code.replace(f'"{name}"', repr(str(path)))
    found: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), found)  # noqa: S102  # the code is what the card promises
    model = found["model"].eval()
    for layer in model.modules():
        layer.support_avx512bf16_for_cpu = False
    expected = merged_into(lm, read_module(task, lm)) if adapted else lm
    ids = torch.arange(5, 25)[None]
    with torch.no_grad(), AdapterBank([read_module(out, lm)]).rows(expected.model, torch.ones(1, 1)):
        torch.testing.assert_close(model(ids).logits, expected.model(ids).logits, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert not torch.allclose(lm.model(ids).logits, model(ids).logits, atol=1e-3)


def run_of(home: Path, quantization: object, monkeypatch: pytest.MonkeyPatch) -> Adapters:
    """What is found of a run whose manifest says how its base held its weights."""
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(home / "cache"))
    (home / "cache" / "modules" / "a").mkdir(parents=True)
    modules = {"sharers": {"bob": "a"}, "adaptation": None}
    content = {"modules": modules, "model": {"name": "tiny", "quantization": quantization}}
    (home / "manifest.json").write_text(json.dumps(content))
    return find_adapters(home)


def test_a_runs_modules_are_not_put_on_a_base_of_another_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = base(None)
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    of_packed = run_of(packed, dict(FOUR_BITS), monkeypatch)
    with pytest.raises(ModelError, match="trained on a base in 4 bits, and the base is in full") as caught:
        check_precision(of_packed, full)
    assert "--set model.quantize=4bit" in caught.value.hint
    check_precision(run_of(plain, None, monkeypatch), full)
    # Of adapters in a folder nobody knows.
    check_precision(Adapters(tmp_path, {}), full)
