"""Runs a study in a run directory: plan, units, results. The same command continues or reuses a run."""

import shutil
from collections import defaultdict
from pathlib import Path

import filelock
import yaml

from prime_audit.config import StudyConfig
from prime_audit.core import atomic_write_text, digest_json, make_private_dir, read_json, write_json
from prime_audit.errors import ConfigError, OutputError
from prime_audit.results import SCORES_FILE, Results, write_results, write_scores
from prime_audit.study.assemble import assemble
from prime_audit.study.executor import finished, run_units
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.manifest import manifest, now
from prime_audit.study.plan import plan
from prime_audit.study.predictions import FOLDER as PREDICTIONS
from prime_audit.study.predictions import write_predictions
from prime_audit.study.progress import NO_PROGRESS, Progress
from prime_audit.study.store import Store, default_store
from prime_audit.study.units import Unit
from prime_audit.study.workbench import Workbench

CONFIG = "config.resolved.yaml"
DERIVED = ("results.json", "manifest.json", "gate.json", "report.html", "summary.md", "junit.xml")
PARTS = (CONFIG, "journal.jsonl", *DERIVED)
FOLDERS = ("evidence", "modules", PREDICTIONS)


def run_study(
    config: StudyConfig, out: Path, *, fresh: bool = False, progress: Progress = NO_PROGRESS
) -> Results:
    """Runs a study, or what is left of it.

    Args:
        config: The study.
        out: The run directory; it is created, with mode 0700.
        fresh: Start again: what an earlier run left in ``out`` is removed first.
        progress: Told of every unit.

    Returns:
        The results, which are also written to ``out`` beside manifest, journal, evidence and modules.

    Raises:
        OutputError: If the directory cannot be written, or another process runs in it.
        ConfigError: If the directory belongs to another configuration.
        DataError: With every fault of the data.
    """
    started = now()
    make_private_dir(out)
    lock = filelock.FileLock(out / ".lock", timeout=0)
    try:
        with lock:
            return _run_locked(config, out, fresh, progress, started)
    except filelock.Timeout as error:
        raise OutputError(
            f"{out}: another process is running in this directory", hint="wait for it, or use another --out"
        ) from error


def _run_locked(config: StudyConfig, out: Path, fresh: bool, progress: Progress, started: str) -> Results:
    # Nothing in the directory is touched before everything that can be refused has been looked at.
    dataset = load_dataset(config)
    for note in dataset.notes:
        progress.note(note)
    if not fresh:
        _check_claim(config, out)
    holdout = draw_design(config, dataset)
    bench = Workbench(config, dataset, holdout, Store(default_store()), out)
    _set_threads(config)
    units = plan(bench, bench.model_part())
    if fresh:
        _clear(out)
    atomic_write_text(out / CONFIG, yaml.safe_dump(_resolved(config), sort_keys=False, allow_unicode=True))
    # The flips are on disk, with their digest, before anything is trained.
    (out / "evidence").mkdir(mode=0o700, exist_ok=True)
    for name, manifest_of in bench.designs().items():
        write_json(out / "evidence" / name, manifest_of)
    journal = Journal(out / "journal.jsonl")
    if journal.dropped_tail:
        progress.note("the journal's last line was cut off; its unit runs again")
    whole = all(finished(unit, journal) for unit in units)
    if not whole:
        # Until they are finished again, no earlier results may be read as this run's.
        for name in DERIVED:
            (out / name).unlink(missing_ok=True)
    outputs = run_units(units, journal, progress)
    write_predictions(bench)
    results, scores = assemble(bench, outputs)
    adapted_on = int(outputs["adapt"]["items"]) if "adapt" in outputs else 0
    described = manifest(bench, started, _seconds(units, journal), adapted_on)
    if whole and (out / "manifest.json").is_file():
        # Nothing was computed: when and by which command the run was made does not change.
        earlier = read_json(out / "manifest.json")
        kept = earlier if isinstance(earlier, dict) else {}
        described |= {name: kept[name] for name in ("started", "finished", "command") if name in kept}
    write_json(out / "manifest.json", described)
    write_scores(out / "evidence" / SCORES_FILE, scores)
    write_results(out / "results.json", results)
    return results


def _resolved(config: StudyConfig) -> dict[str, object]:
    resolved: dict[str, object] = config.model_dump(mode="json")
    return resolved


def _check_claim(config: StudyConfig, out: Path) -> None:
    """Refuses a directory that belongs to another study."""
    path = out / CONFIG
    if path.exists() and _numbers(yaml.safe_load(path.read_text(encoding="utf-8"))) != _numbers(
        _resolved(config)
    ):
        raise ConfigError(
            f"{out} belongs to a run of another configuration",
            hint="use another --out, or --fresh to start again there",
        )


def _numbers(resolved: dict[str, object]) -> str:
    """Digest of what a run's units are made from; report, gate and executor may change between starts."""
    return digest_json({k: v for k, v in resolved.items() if k not in {"report", "gate", "run"}})


def _clear(out: Path) -> None:
    for name in PARTS:
        (out / name).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)


def _set_threads(config: StudyConfig) -> None:
    import torch

    if config.run.threads_per_worker is not None:
        torch.set_num_threads(config.run.threads_per_worker)


def _seconds(units: list[Unit], journal: Journal) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for unit in units:
        entry = journal.get(unit.key)
        if entry is not None:
            total[unit.stage] += float(entry["seconds"])
    return {stage: round(value, 3) for stage, value in total.items()}
