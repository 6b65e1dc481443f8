"""What running a study costs beside its computing, and what a second worker is worth.

    python benchmarks/study.py --json                # the quickstart: some minutes, on a quiet machine
    python benchmarks/study.py --only planning,memory

- ``workers``: seconds that the units of a study take with one worker and one or two threads and with two
  workers of one thread, start-up aside; ``ratio`` is two workers over the faster single one (at most 0.62)
- ``planning``: seconds to plan ``units`` units, data and model aside (at most 2 for 10,000)
- ``journal``: seconds per line, fsync included, and ``share`` of the study's seconds (at most 0.01)
- ``memory``: peak MiB of a study with 20 and with 200 sharers, whose modules lie in the store (``ratio`` at
  most 1.2)
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

# Before this folder, in which a file is called as the package `attacks` is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn

from prime_audit.config import StudyConfig, load_study
from prime_audit.data import Dataset
from prime_audit.modules import LoraModule, write_module
from prime_audit.study.executor import Done, Executor
from prime_audit.study.executors import executor_of, threads_of
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.opening import open_study, set_threads
from prime_audit.study.plan import plan
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.runner import run_study
from prime_audit.study.schedule import run_units
from prime_audit.study.store import Store
from prime_audit.study.units import Outputs, Unit
from prime_audit.study.workbench import Workbench

PARTS = ("planning", "journal", "memory", "workers")
PLANNED = {"data.sharers": 40, "data.targets": 1700, "methods": ["base", "uniform", "prime"]}
FEW, MANY = 20, 200


def main() -> None:
    """Measures what was asked for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--only", default=",".join(PARTS), help="some of: " + ", ".join(PARTS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sharers", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.sharers:
        print(json.dumps(_peak(asked.sharers)))
        return
    found: dict[str, Any] = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    wanted = asked.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if "planning" in wanted:
            found["planning"] = planning(home)
        if "memory" in wanted:
            found["memory"] = memory()
        if "workers" in wanted:
            found["workers"] = workers(asked.study, home)
        if "journal" in wanted:
            found["journal"] = journal(home, found.get("workers"))
    print(json.dumps(found, indent=None if asked.json else 1))


def planning(home: Path) -> dict[str, float]:
    """Plans a study of more than 10,000 units."""
    settings = [f"{key}={json.dumps(value)}" for key, value in PLANNED.items()]
    config = load_study("quickstart", [*settings, "audit.canaries=null"])
    dataset = load_dataset(config)
    bench = Workbench(config, dataset, draw_design(config, dataset), Store(home / "plan"), home / "plan")
    started = time.perf_counter()
    units = plan(bench, {})
    return {"units": len(units), "seconds": round(time.perf_counter() - started, 3)}


def journal(home: Path, measured: dict[str, float] | None) -> dict[str, float]:
    """Appends lines as long as a search's."""
    points = [{"w": [0.1] * 3, "u": 0.5, "s": 0.25, "part": "search", "items": 10}] * 40
    lines, count = Journal(home / "journal.jsonl"), 200
    started = time.perf_counter()
    for number in range(count):
        lines.append({"key": str(number), "unit": "deploy", "seconds": 1.0, "output": {"points": points}})
    per_line = (time.perf_counter() - started) / count
    found = {"seconds_per_line": round(per_line, 6)}
    if measured:
        total = min(measured["one_thread"], measured["two_threads"])
        found["share"] = round(per_line * measured["units"] / total, 5)
    return found


def memory() -> dict[str, float]:
    """Runs a study with few and with many sharers, each in a process of its own."""
    peaks = {count: _in_process(count) for count in (FEW, MANY)}
    return {
        **{f"mib_{count}_sharers": peaks[count] for count in peaks},
        "ratio": round(peaks[MANY] / peaks[FEW], 3),
    }


def _in_process(sharers: int) -> float:
    command = [sys.executable, __file__, "--sharers", str(sharers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this file
    return float(json.loads(done.stdout.splitlines()[-1]))


def _peak(sharers: int) -> float:
    """Returns the peak MiB of a study whose sharers' modules are in the store already."""
    methods = json.dumps(["base", "uniform", {"kind": "prime", "budget": 20}])
    settings = [f"data.sharers={sharers}", "data.targets=4", f"methods={methods}", "audit.canaries=null"]
    config = load_study("quickstart", [*settings, "audit.linkage=false", "audit.controls=[base]"])
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["PRIME_AUDIT_CACHE"] = str(home / "store")
        (home / "run").mkdir()
        bench, units = open_study(config, load_dataset(config), home / "store", home / "run")
        shapes = _shapes(bench, config)
        for unit in units:
            if unit.stage == "train" and unit.artefact is not None:
                write_module(_random(shapes, config, unit.name), unit.artefact, bench.pretrained.name)
        del bench, units
        run_study(config, home / "run")
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _shapes(bench: Workbench, config: StudyConfig) -> dict[str, tuple[int, int]]:
    layers = bench.pretrained.model.named_modules()
    wanted = config.training.target_modules
    return {
        name: (layer.in_features, layer.out_features)
        for name, layer in layers
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in wanted
    }


def _random(shapes: dict[str, tuple[int, int]], config: StudyConfig, name: str) -> LoraModule:
    rng, rank = np.random.default_rng(list(name.encode())), config.training.rank

    def drawn(*shape: int) -> torch.Tensor:
        return torch.from_numpy(0.02 * rng.standard_normal(shape)).float()

    factors = {layer: (drawn(rank, wide), drawn(tall, rank)) for layer, (wide, tall) in shapes.items()}
    return LoraModule(rank=rank, alpha=config.training.alpha, rslora=False, factors=factors, origin=name)


class _Clock:
    """An executor that notes when its first worker was ready."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.ready: float | None = None

    @property
    def free(self) -> int:
        return self._executor.free

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        self._executor.submit(unit, outputs)

    def wait(self) -> Done:
        done = self._executor.wait()
        if self.ready is None:
            self.ready = time.perf_counter() - done.seconds
        return done

    def close(self) -> None:
        self._executor.close()


def workers(study: str, home: Path) -> dict[str, float]:
    """Runs a study's units with one and with two workers, each with an empty store."""
    found: dict[str, float] = {}
    dataset: Dataset | None = None
    for name, count, threads in (("one_thread", 1, 1), ("two_threads", 1, 2), ("two_workers", 2, 1)):
        config = load_study(study, [f"run.workers={count}", f"run.threads_per_worker={threads}"])
        dataset = dataset or load_dataset(config)
        found |= _timed(config, dataset, home / name, name)
    fastest = min(found["one_thread"], found["two_threads"])
    return found | {"ratio": round(found["two_workers"] / fastest, 3)}


def _timed(config: StudyConfig, dataset: Dataset, folder: Path, name: str) -> dict[str, float]:
    (folder / "run" / "evidence").mkdir(parents=True)
    set_threads(threads_of(config.run))
    bench, units = open_study(config, dataset, folder / "store", folder / "run")
    clock = _Clock(executor_of(bench, threads_of(config.run)))
    with closing(clock):
        run_units(units, Journal(folder / "run" / "journal.jsonl"), NO_PROGRESS, clock)
        ended = time.perf_counter()
    if clock.ready is None:
        raise ValueError("no unit was computed")
    return {name: round(ended - clock.ready, 2), "units": len(units)}


if __name__ == "__main__":
    main()
