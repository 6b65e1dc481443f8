"""What running a study costs beside its computing, and what a second worker is worth.

    python benchmarks/study.py --json                # the quickstart: some minutes, on a quiet machine
    python benchmarks/study.py --only planning,memory

- ``workers``: seconds from the begin of a study's first unit to the end of its last, one worker of one or
  two threads and with two workers of one; ``ratio`` is two workers over the faster single one (at most
  0.62). What the command does before, such as loading the model, is left out; the start of the second worker,
  once there is a unit for it, is not
- ``planning``: seconds to plan ``units`` units, data and model aside (at most 2 for 10,000)
- ``journal``: seconds per line, fsync included, and ``share`` of the study's seconds (at most 0.01)
- ``memory``: peak MiB of the largest process of a study with 20 and with 200 sharers, whose modules lie in
  the store; linkage, attributes and, of one model, black-box linkage included (``ratio`` at most 1.2)
- ``evidence``: peak MiB of attacking the evidence of 20 and of 200 targets, every attack of the default set
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

# Before this folder, in which a file is called as the package `attacks` is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn

from attacks import TokenScores
from prime_audit.audit import audit
from prime_audit.config import StudyConfig, load_study
from prime_audit.data import Dataset
from prime_audit.modules import LoraModule, write_module
from prime_audit.study.collect import Collector
from prime_audit.study.executor import Done, Executor, Waiting
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

PARTS = ("planning", "journal", "memory", "evidence", "workers")
PLANNED = {"data.sharers": 40, "data.targets": 1700, "methods": ["base", "uniform", "prime"]}
FEW, MANY = 20, 200


def main() -> None:
    """Measures what was asked for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--only", default=",".join(PARTS), help="some of: " + ", ".join(PARTS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for name in PEAKS:
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for name, run in PEAKS.items():
        if count := getattr(asked, name):
            run(count)
            print(json.dumps(round(_peak() / 1024, 1)))
            return
    found: dict[str, Any] = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    wanted = asked.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if "planning" in wanted:
            found["planning"] = planning(home)
        if "memory" in wanted:
            found["memory"] = memory("sharers")
        if "evidence" in wanted:
            found["evidence"] = memory("targets")
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


def memory(of: str) -> dict[str, float]:
    """Takes the peak with few and with many people, each in a process of its own."""
    peaks = {count: _in_process(of, count) for count in (FEW, MANY)}
    return {
        **{f"mib_{count}_{of}": peaks[count] for count in peaks},
        "ratio": round(peaks[MANY] / peaks[FEW], 3),
    }


def _in_process(of: str, count: int) -> float:
    command = [sys.executable, __file__, f"--{of}", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this file
    return float(json.loads(done.stdout.splitlines()[-1]))


def _peak() -> int:
    """Returns the largest peak in KiB of this process and of the workers it has had.

    What `getrusage` gives begins with the parent's peak: wrong for this process, no matter for its workers.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    own = int(status.partition("VmHWM:")[2].split()[0])
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _with_sharers(sharers: int) -> None:
    """Runs a study whose sharers' modules are in the store already."""
    methods = json.dumps(["base", "uniform", {"kind": "prime", "budget": 20}])
    settings = [f"data.sharers={sharers}", "data.targets=4", f"methods={methods}", "audit.canaries=null"]
    settings += ["audit.attributes=true", "audit.controls=[base]"]
    settings += ['audit.linkage_black_box={"methods": ["uniform"], "targets": 1}']
    config = load_study("quickstart", settings)
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


class _Made(Workbench):
    """A workbench whose evidence is drawn instead of read: 60 tokens of each record."""

    def evidence(self, name: str) -> TokenScores:
        """Draws it anew each time; the records of a score of a merge are those of its target's sharers."""
        method = name.split("/")[1]
        # The sharers of a target stand in for each other: all histories are equally long here.
        users = 1 if method == "base" else self.config.sharers.per_target
        count = users * len(self.member(self.dataset.sharers[0].id))
        rng = np.random.default_rng(list(name.encode()))
        logp = -rng.exponential(size=60 * count)
        return TokenScores(
            offsets=np.arange(0, len(logp) + 1, 60),
            logp=logp,
            mean_logp=np.full(len(logp), -1.0),
            std_logp=np.full(len(logp), 1.0),
            is_argmax=np.zeros(len(logp), dtype=bool),
            token=np.zeros(len(logp), dtype=np.int64),
            compressed_bytes=np.full(count, 40),
        )


def _with_targets(targets: int) -> None:
    """Attacks merges that were made for so many targets, four methods and the placebo."""
    methods = [{"kind": "fixed-weights", "id": f"m{place}", "weights": [1, 1, 1]} for place in range(4)]
    settings = [f"data.targets={targets}", f"methods={json.dumps(methods)}", "audit.canaries=null"]
    config = load_study(
        "quickstart", [*settings, "audit.controls=[base, placebo]", "audit.permutations=1000"]
    )
    dataset = load_dataset(config)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        bench = _Made(config, dataset, draw_design(config, dataset), Store(folder / "store"), folder)
        _attack(bench)


def _attack(bench: Workbench) -> None:
    config, dataset = bench.config, bench.dataset
    names = [sharer.id for sharer in dataset.sharers]
    of = {t.id: dict.fromkeys(np.roll(names, n)[:3].tolist(), 1.0) for n, t in enumerate(dataset.targets)}
    outputs: dict[str, Any] = {"select": {"selected": of, "pool": names}}
    for method in config.methods:
        for target, chosen in of.items():
            outputs[f"deploy/{method.id}/{target}"] = {"sources": list(chosen), "weights": [1.0] * 3}
    flips = {name: bench.member(name) for name in names}
    groups = Collector(bench, outputs).groups()
    audit(groups, flips, config.audit.attack_ids, bench.seeds, config.audit.permutations, "reference")


PEAKS: dict[str, Callable[[int], None]] = {"sharers": _with_sharers, "targets": _with_targets}


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
    """An executor that notes when the first unit was begun and when the last one had ended."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.began = math.inf
        self.ended = -math.inf

    @property
    def free(self) -> int:
        return self._executor.free

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        self._executor.submit(unit, outputs)

    def wait(self) -> Done | Waiting:
        done = self._executor.wait()
        if isinstance(done, Waiting):
            return done
        self.ended = time.perf_counter()
        # The first unit to end need not be the first that was begun.
        self.began = min(self.began, self.ended - done.seconds)
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
    return {name: round(clock.ended - clock.began, 2), "units": len(units)}


if __name__ == "__main__":
    main()
