"""What the attack suite costs: its forward passes beside bare ones, and its arithmetic on one core.

    python benchmarks/attacks.py --json            # both halves on the bundled tiny model
    python benchmarks/attacks.py --arrays --json   # the arithmetic alone; loads no model

- ``vs_bare_forward``: the passes of the suite over the bare forward passes that they need, at most 1.3; this
  half is `benchmarks/attack_passes.py`
- ``array_seconds``: every array attack on generated evidence about 10,000 records of about 30 tokens, with
  every part that an attack may read; then per attack the AUC, both intervals (2,000 bootstrap draws over
  users) and the rate at 1 %, and one max-T test of 2,000 draws over all of them. On one core, under 30 s
- ``array_cpu_seconds``: the same as processor time, which other work on the machine does not stretch
"""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

# A script's own folder comes first on the path, where this file would hide the package of its name.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# One core: read by every library of linear algebra, once, when numpy is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from attacks import ATTACKS, Evidence, ShadowScores, TokenScores, missing
from attacks.arrays import BoolArray, FloatArray, IntArray
from attacks.statistics import (
    UserScores,
    auc,
    max_t,
    sharers_interval,
    tpr_interval,
    within_user_auc,
)

RECORDS = 10_000
RECORDS_PER_USER = 100
POPULATION = 1_000
SHADOWS = 8
NEIGHBOURS = 25
SHORTEST, LONGEST = 20, 40
VOCABULARY = 5_000
DRAWS = 2_000
LIMIT = 30.0
SEED = 7


def main() -> None:
    """Measures both halves, or one, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arrays", action="store_true", help="leave the forward passes out")
    parser.add_argument("--model", default="tiny", help="of the passes: tiny, smollm2, a folder or a hub id")
    parser.add_argument("--records", type=int, default=RECORDS, help="records of the arithmetic, in hundreds")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of the passes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if asked.records < RECORDS_PER_USER or asked.records % RECORDS_PER_USER:
        parser.error(f"--records: must be a multiple of {RECORDS_PER_USER}, the records of one user")
    found: dict[str, object] = {
        "cores": os.cpu_count(),
        "numpy": np.__version__,
        "python": sys.version.split()[0],
    }
    # The passes first, in a process that has done nothing else yet.
    if not asked.arrays:
        found |= _forward(asked.repeats, asked.model)
    found |= measure_arrays(asked.records)
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:28} {value}")


def _forward(repeats: int, model: str) -> dict[str, float]:
    # Imported here: it loads torch, which the arithmetic must do without.
    passes = importlib.import_module("attack_passes")
    found: dict[str, float] = passes.measure(repeats, model=model)
    return found


def measure_arrays(records: int) -> dict[str, object]:
    """Times every attack whose needs are met, then the statistics of all of them.

    Args:
        records: How many records are scored; a multiple of 100.

    Returns:
        Seconds in all and in parts, and how many attacks were run.
    """
    rng = np.random.default_rng(SEED)
    evidence = generated_evidence(rng, records)
    users = np.repeat(np.arange(records // RECORDS_PER_USER), RECORDS_PER_USER)
    member = rng.random(records) < 0.5
    chosen = [one for one in ATTACKS.values() if not missing(one, evidence)]
    started, cpu = time.perf_counter(), time.process_time()
    scores: dict[str, FloatArray] = {}
    seconds: dict[str, float] = {}
    for one in chosen:
        begun = time.perf_counter()
        scores[one.id] = one.score(evidence)
        seconds[one.id] = time.perf_counter() - begun
    _statistics(scores, users, member, rng)
    total = time.perf_counter() - started
    slowest = sorted(seconds, key=lambda name: -seconds[name])[:3]
    return {
        "array_records": records,
        "array_tokens": int(evidence.target.offsets[-1]),
        "array_attacks": len(chosen),
        "array_left_out": sorted(set(ATTACKS) - set(scores)),
        "array_seconds": round(total, 2),
        "array_cpu_seconds": round(time.process_time() - cpu, 2),
        "array_seconds_limit": LIMIT,
        "array_seconds_scoring": round(sum(seconds.values()), 2),
        "array_seconds_statistics": round(total - sum(seconds.values()), 2),
        "array_slowest": {name: round(seconds[name], 2) for name in slowest},
    }


def _statistics(
    scores: dict[str, FloatArray], users: IntArray, member: BoolArray, rng: np.random.Generator
) -> None:
    """What an audit states about each attack, and the test over all of them."""
    rows = [np.flatnonzero(users == user) for user in np.unique(users)]
    families = {
        name: [UserScores(f"u{i:05}", member[row], values[None, row]) for i, row in enumerate(rows)]
        for name, values in scores.items()
    }
    for name, values in scores.items():
        auc(values[member], values[~member])
        tpr_interval(values[member], values[~member], 0.01)
        within_user_auc(families[name])
        sharers_interval(families[name])
    max_t(families, rng, draws=DRAWS)


def generated_evidence(rng: np.random.Generator, records: int, *, known: bool = True) -> Evidence:
    """Draws evidence with every part that an attack may read; nobody is memorised.

    Args:
        rng: Source of everything.
        records: N.
        known: Also draw a population of known non-members.

    Returns:
        Evidence about N records of 20 to 40 tokens.
    """
    lengths = rng.integers(SHORTEST, LONGEST + 1, records)
    token = rng.integers(0, VOCABULARY, int(lengths.sum()))
    around = np.repeat(lengths, NEIGHBOURS)
    words = rng.integers(0, VOCABULARY, int(around.sum()))
    same = (
        *("target", "reference", "pretrained", "amplified"),
        *("prefixed", "prefixed_members", "repeated", "lowercase"),
    )
    half = np.arange(records) % 2 == 0
    halves = [rng.permutation(half) for _ in range(SHADOWS // 2)]
    keep = np.array([side for one in halves for side in (one, ~one)])
    return Evidence(
        **{name: _scores(rng, lengths, token) for name in same},
        neighbours=_scores(rng, around, words),
        gradient_norm=rng.uniform(1, 2, records),
        overlap=rng.normal(0, 0.1, records),
        shadows=ShadowScores(-rng.exponential(2.0, keep.shape), keep & known),
        population=generated_evidence(rng, POPULATION, known=False) if known else None,
        corpus=rng.integers(0, 100, VOCABULARY),
    )


def _scores(rng: np.random.Generator, lengths: IntArray, token: IntArray) -> TokenScores:
    count = len(token)
    return TokenScores(
        offsets=np.cumsum(np.concatenate([[0], lengths])),
        logp=-rng.exponential(2.0, count),
        mean_logp=-rng.exponential(2.0, count),
        std_logp=rng.uniform(0.5, 2.0, count),
        is_argmax=rng.random(count) < 0.4,
        token=token,
        compressed_bytes=rng.integers(60, 120, len(lengths)),
    )


if __name__ == "__main__":
    main()
