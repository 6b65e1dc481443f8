"""Takes over from another run what this one would compute alike."""

from collections.abc import Sequence
from pathlib import Path

from prime_audit.core import atomic_dir, atomic_write_bytes, make_private_dir
from prime_audit.errors import DataError
from prime_audit.study.journal import Journal
from prime_audit.study.schedule import finished, intact
from prime_audit.study.units import Unit

JOURNAL = "journal.jsonl"


def take_over(units: Sequence[Unit], journal: Journal, out: Path, earlier: Path) -> int:
    """Copies finished units of an earlier run whose keys are those of this one.

    A key holds all that a unit's output depends on, so what follows from a changed setting is not taken.

    Args:
        units: The units of this run.
        journal: This run's journal; what is taken over is appended.
        out: This run's directory.
        earlier: The other run's directory, which is only read.

    Returns:
        How many units were taken over.

    Raises:
        DataError: The other directory holds no run.
        IncompleteError: Its journal is damaged.
    """
    if not (earlier / JOURNAL).is_file():
        raise DataError(f"{earlier}: there is no run to reuse (no {JOURNAL})", hint="name a run directory")
    there = Journal(earlier / JOURNAL, read_only=True)
    taken = 0
    for unit in units:
        entry = there.get(unit.key)
        if entry is None or finished(unit, journal):
            continue
        for path in (unit.artefact, unit.kept):
            if path is not None and path.is_relative_to(out):
                _copy(earlier / path.relative_to(out), path)
        # Where an artefact is gone there, the unit runs again here.
        if intact(unit, entry["output"]):
            journal.append(entry)
            taken += 1
    return taken


def _copy(source: Path, path: Path) -> None:
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
