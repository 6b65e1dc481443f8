"""Runs a study in a run directory: plan, units, results. The same command continues or reuses a run."""

import os
import shutil
import signal
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from prime_audit.config import RunConfig, StudyConfig
from prime_audit.core import (
    RUN_MARKS,
    atomic_write_text,
    default_store,
    digest_json,
    make_private_dir,
    plural,
    read_json,
    refuse_foreign,
    remove_temporaries,
    sole_writer,
    write_json,
)
from prime_audit.errors import ConfigError, IncompleteError
from prime_audit.results import SCORES_FILE, Results, Scores, write_results, write_scores
from prime_audit.study.assemble import assemble, cancelled
from prime_audit.study.circumstances import circumstances, in_words, made_otherwise
from prime_audit.study.disk import check_room
from prime_audit.study.executor import Executor, InProcess
from prime_audit.study.executors import executor_of, threads_of
from prime_audit.study.inputs import load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.manifest import PROVENANCE, Work, manifest, now
from prime_audit.study.opening import open_study, threads_set
from prime_audit.study.predictions import FOLDER as PREDICTIONS
from prime_audit.study.predictions import write_predictions
from prime_audit.study.progress import NO_PROGRESS, Progress
from prime_audit.study.reuse import JOURNAL, open_earlier, take_over
from prime_audit.study.schedule import Stopped, finished, run_units
from prime_audit.study.stopping import Stopping
from prime_audit.study.units import Unit
from prime_audit.study.workbench import SEARCH, Workbench

CONFIG = "config.resolved.yaml"
DERIVED = ("results.json", "manifest.json", "gate.json", "report.html", "summary.md", "junit.xml")
PARTS = (CONFIG, JOURNAL, *DERIVED)
FOLDERS = ("evidence", "modules", SEARCH, PREDICTIONS)


def run_study(
    config: StudyConfig,
    out: Path,
    *,
    fresh: bool = False,
    reuse: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> Results:
    """Runs a study, or what is left of it.

    Args:
        config: The study.
        out: The run directory; it is created, with mode 0700.
        fresh: Start again: what an earlier run left in ``out`` is removed first.
        reuse: Directory of another run; what this one would compute alike is taken from there.
        progress: Told of every unit.

    Returns:
        The results, which are also written to ``out`` beside manifest, journal, evidence and modules.

    Raises:
        OutputError: If the directory cannot be written or holds other things, or another process runs in it.
        NoSpaceError: If the disk is full.
        ConfigError: If the directory belongs to another configuration.
        IncompleteError: If what an earlier run left there is damaged.
        DataError: With every fault of the data.
    """
    started = now()
    refuse_foreign(out, RUN_MARKS)
    make_private_dir(out)
    with sole_writer(out), threads_set(threads_of(config.run)):
        return _run_locked(config, out, fresh, reuse, progress, started)


def _run_locked(
    config: StudyConfig, out: Path, fresh: bool, reuse: Path | None, progress: Progress, started: str
) -> Results:
    # Nothing in the directory is touched before everything that can be refused has been looked at.
    dataset = load_dataset(config)
    for note in dataset.notes:
        progress.note(note)
    if not fresh:
        _check_claim(config, out)
    earlier = open_earlier(reuse, out, fresh=fresh) if reuse is not None else None
    bench, units = open_study(config, dataset, default_store(), out)
    left = units if fresh else _unfinished(units, Journal(out / JOURNAL, read_only=True))
    room = check_room(bench, left, freed=_size(out) if fresh else 0)
    if left:
        progress.note(f"what is left to do takes {room}")
    if left:
        _warn(config.run, progress)
    # Where everything is finished, no cluster needs to be there.
    executor = executor_of(bench, threads_of(config.run)) if left else InProcess(bench.seeds, bench.batching)
    with closing(executor):
        journal = _begin(bench, fresh, progress)
        if reuse is not None and earlier is not None:
            taken = take_over(units, journal, out, reuse, earlier)
            progress.note(f"{plural(taken, 'finished unit')} taken over from {reuse}")
        return _finish(bench, units, journal, executor, progress, started)


def _warn(run: RunConfig, progress: Progress) -> None:
    """Says beforehand what would make a user wait and wonder."""
    cores = os.cpu_count() or 1
    if run.executor == "local" and run.workers > cores:
        progress.note(f"run.workers: {run.workers} processes share {cores} cores, and each takes memory")
    if run.executor == "ray" and run.address is not None:
        progress.note("Ray looks for its cluster, and takes minutes to give up where there is none")


def _unfinished(units: list[Unit], journal: Journal) -> list[Unit]:
    return [unit for unit in units if not finished(unit, journal)]


def _begin(bench: Workbench, fresh: bool, progress: Progress) -> Journal:
    """Makes the directory this run's; returns its journal."""
    if fresh:
        _clear(bench.out)
    # Nobody else writes here, so a temporary name is what a killed start left behind.
    remove_temporaries(bench.out, of=PARTS, below=FOLDERS)
    _write_claim(bench)
    journal = Journal(bench.out / JOURNAL)
    if journal.dropped_tail:
        progress.note("the journal's last line was cut off; its unit runs again")
    return journal


def _finish(
    bench: Workbench,
    units: list[Unit],
    journal: Journal,
    executor: Executor,
    progress: Progress,
    started: str,
) -> Results:
    """Does what is not finished and writes what follows from all units."""
    out, whole = bench.out, not _unfinished(units, journal)
    if not whole:
        # Until they are finished again, no earlier results may be read as this run's.
        for name in DERIVED:
            (out / name).unlink(missing_ok=True)
    told = [] if whole else _say_otherwise([], _otherwise(units, journal), progress)
    try:
        results, scores = _complete(bench, units, journal, executor, progress)
    except (Stopped, KeyboardInterrupt, SystemExit) as stop:
        # The results say so before the signal has its way; a second one has it at once.
        if not whole and (isinstance(stop, Stopped) or not _unfinished(units, journal)):
            write_json(out / "manifest.json", _manifest(bench, started, units, journal))
            write_results(out / "results.json", cancelled(bench))
        if isinstance(stop, Stopped):
            signal.raise_signal(stop.number)
        raise
    if not whole:
        _say_otherwise(told, _otherwise(units, journal), progress)
    described = _manifest(bench, started, units, journal)
    if whole and (out / "manifest.json").is_file():
        # Nothing was computed: when and by which command the run was made does not change.
        earlier = read_json(out / "manifest.json")
        kept = earlier if isinstance(earlier, dict) else {}
        described |= {name: kept[name] for name in PROVENANCE if name in kept}
    write_json(out / "manifest.json", described)
    write_scores(out / "evidence" / SCORES_FILE, scores)
    write_results(out / "results.json", results)
    # What searches had measured stands in the journal now.
    shutil.rmtree(out / SEARCH, ignore_errors=True)
    return results


def _complete(
    bench: Workbench, units: list[Unit], journal: Journal, executor: Executor, progress: Progress
) -> tuple[Results, Scores]:
    """Runs the units; the first signal lets those in progress finish, a later one stops at once."""
    with Stopping(progress) as stopping:
        outputs = run_units(units, journal, progress, executor, stopping)
    write_predictions(bench)
    return assemble(bench, outputs)


def _write_claim(bench: Workbench) -> None:
    """Says whose directory it is; the flips are on disk, with their digest, before anything is trained."""
    out = bench.out
    resolved = yaml.safe_dump(_resolved(bench.config), sort_keys=False, allow_unicode=True)
    atomic_write_text(out / CONFIG, resolved)
    (out / "evidence").mkdir(mode=0o700, exist_ok=True)
    for name, manifest_of in bench.designs().items():
        write_json(out / "evidence" / name, manifest_of)


def _manifest(bench: Workbench, started: str, units: list[Unit], journal: Journal) -> dict[str, Any]:
    adapted = journal.get(bench.keys.get("adapt", ""))
    entries = _entries(units, journal)
    work = Work(
        adapted_on=int(adapted["output"]["items"]) if adapted else 0,
        seconds=_seconds(units, journal),
        by_method=_by_method(units, journal),
        halved=sum(int(entry.get("halved", 0)) for entry in entries),
        otherwise=_otherwise(units, journal),
    )
    return manifest(bench, started, work)


def _entries(units: list[Unit], journal: Journal) -> list[dict[str, Any]]:
    return [entry for unit in units if (entry := journal.get(unit.key))]


def _otherwise(units: list[Unit], journal: Journal) -> list[dict[str, Any]]:
    return made_otherwise(_entries(units, journal), circumstances())


def _say_otherwise(
    told: list[dict[str, Any]], others: list[dict[str, Any]], progress: Progress
) -> list[dict[str, Any]]:
    """Tells of units that were made otherwise and were not told of; returns all that is told now."""
    for sentence in in_words([other for other in others if other not in told], circumstances()):
        progress.note(sentence)
    return others


def _resolved(config: StudyConfig) -> dict[str, object]:
    resolved: dict[str, object] = config.model_dump(mode="json")
    return resolved


def _check_claim(config: StudyConfig, out: Path) -> None:
    """Refuses a directory that belongs to another study, or of which that cannot be told any more."""
    path = out / CONFIG
    if not path.exists():
        return
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        claimed = _numbers(found) if isinstance(found, dict) else None
        why = "it is empty or no mapping"
    except (
        OSError,
        yaml.YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        # Whatever stands there, it is not what a run has written.
        mark = getattr(error, "problem_mark", None)
        claimed, why = None, f"no YAML from line {mark.line + 1} on" if mark else "it cannot be read"
    if claimed is None:
        raise IncompleteError(
            f"{path} is damaged ({why}), so it cannot be told which study this run is of",
            hint="restore the file, use another --out, or start again with --fresh",
        )
    if claimed != _numbers(_resolved(config)):
        raise ConfigError(
            f"{out} belongs to a run of another configuration",
            hint="use another --out (with --reuse what stays as it was is taken from here), or --fresh",
        )


def _numbers(resolved: dict[str, object]) -> str:
    """Digest of what a run's units are made from; report, gate and executor may change between starts."""
    return digest_json({k: v for k, v in resolved.items() if k not in {"report", "gate", "run"}})


def _clear(out: Path) -> None:
    """Removes a run; what says that one is there goes last, or a kill would leave unknown things."""
    for name in DERIVED:
        (out / name).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (JOURNAL, CONFIG):
        (out / name).unlink(missing_ok=True)


def _size(out: Path) -> int:
    """Returns the bytes of what `_clear` removes."""
    parts = [out / name for name in PARTS]
    inside = (path for name in FOLDERS for path in (out / name).rglob("*"))
    return sum(path.stat().st_size for path in (*parts, *inside) if path.is_file() and not path.is_symlink())


def _seconds(units: list[Unit], journal: Journal) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for unit in units:
        entry = journal.get(unit.key)
        if entry is not None:
            total[unit.stage] += float(entry["seconds"])
    return {stage: round(value, 3) for stage, value in total.items()}


def _by_method(units: list[Unit], journal: Journal) -> dict[str, float]:
    """Seconds per target of the units that make a method's deployments and its own modules."""
    total: dict[str, float] = defaultdict(float)
    targets: dict[str, int] = defaultdict(int)
    for unit in units:
        entry = journal.get(unit.key)
        if unit.stage in ("own", "deploy") and entry is not None:
            method = unit.name.split("/")[1]
            total[method] += float(entry["seconds"])
            targets[method] += unit.stage == "deploy"
    return {method: round(seconds / max(targets[method], 1), 3) for method, seconds in total.items()}
