"""Takes over from another run what this one would compute alike."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prime_audit.core import atomic_dir, atomic_write_bytes, make_private_dir
from prime_audit.errors import ConfigError, DataError, ModelError
from prime_audit.modules import read_module
from prime_audit.study.journal import Journal
from prime_audit.study.schedule import finished, intact
from prime_audit.study.units import Output, Unit

JOURNAL = "journal.jsonl"


def open_earlier(earlier: Path, out: Path, *, fresh: bool) -> Journal:
    """Opens the journal of a run that is to be reused.

    Args:
        earlier: That run's directory, which is only read.
        out: This run's directory.
        fresh: What lies in ``out`` is going to be removed.

    Returns:
        The journal.

    Raises:
        ConfigError: That run is the one that is going to be removed.
        DataError: The directory holds no run.
        IncompleteError: Its journal is damaged.
    """
    if fresh and earlier.resolve() == out.resolve():
        raise ConfigError(
            f"{earlier}: --fresh would remove the run that --reuse names",
            hint="leave one of the two out, or use another --out",
        )
    if not (earlier / JOURNAL).is_file():
        raise DataError(f"{earlier}: there is no run to reuse (no {JOURNAL})", hint="name a run directory")
    return Journal(earlier / JOURNAL, read_only=True)


def take_over(units: Sequence[Unit], journal: Journal, out: Path, earlier: Path, there: Journal) -> int:
    """Copies finished units of an earlier run whose keys are those of this one.

    A key holds all that a unit's output depends on, so what follows from a changed setting is not taken.

    Args:
        units: The units of this run.
        journal: This run's journal; what is taken over is appended.
        out: This run's directory.
        earlier: The other run's directory.
        there: Its journal, from `open_earlier`.

    Returns:
        How many units were taken over.
    """
    taken = 0
    for unit in units:
        entry = there.get(unit.key)
        # Where an artefact is gone there, the unit runs again here.
        if (
            entry is None
            or finished(unit, journal)
            or not intact(_moved(unit, out, earlier), entry["output"])
        ):
            continue
        journal.forget_other(unit.name, unit.key)
        for path in (unit.artefact, unit.kept):
            if path is not None and path.is_relative_to(out):
                _copy(earlier / path.relative_to(out), path)
        if intact(unit, entry["output"]) and _as_journalled(unit, entry["output"]):
            journal.append(entry)
            taken += 1
    return taken


def _moved(unit: Unit, out: Path, earlier: Path) -> Unit:
    """The unit as it stands in the other run; what lies in the store lies where it did."""
    artefact, kept = (
        earlier / path.relative_to(out) if path is not None and path.is_relative_to(out) else path
        for path in (unit.artefact, unit.kept)
    )
    return replace(unit, artefact=artefact, kept=kept)


def _as_journalled(unit: Unit, output: Output) -> bool:
    """Whether a copied adapter is the one of the journal's line: its run may be making another one."""
    if unit.artefact is None or not output.get("adapter"):
        return True
    try:
        return bool(read_module(unit.artefact).digest == output["adapter"])
    except ModelError:
        return False


def _copy(source: Path, path: Path) -> None:
    # What lies here is another unit's of the same name.
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if source.is_symlink() or not source.exists():
        return
    make_private_dir(path.parent)
    if source.is_file():
        atomic_write_bytes(path, source.read_bytes())
        return
    with atomic_dir(path) as folder:
        for file in sorted(source.iterdir()):
            if file.is_file() and not file.is_symlink():
                atomic_write_bytes(folder / file.name, file.read_bytes())
