"""Runs units one after another in this process, skipping what the journal already holds."""

import time
from collections.abc import Sequence

from prime_audit.study.journal import Journal
from prime_audit.study.progress import Progress
from prime_audit.study.units import Output, Unit


def finished(unit: Unit, journal: Journal) -> bool:
    """Returns whether a unit is journalled and what it left is still there."""
    entry = journal.get(unit.key)
    if entry is None or (unit.kept is not None and not unit.kept.exists()):
        return False
    # A method that deploys the plain model leaves no adapter.
    leaves_nothing = unit.artefact is None or entry["output"].get("adapter", "") is None
    return leaves_nothing or (unit.artefact is not None and unit.artefact.exists())


def run_units(units: Sequence[Unit], journal: Journal, progress: Progress) -> dict[str, Output]:
    """Runs what is not journalled yet, in order.

    Args:
        units: Units in an order in which each comes after what it needs.
        journal: Finished units of this run directory.
        progress: Told of every unit.

    Returns:
        The output of every unit by name.
    """
    progress.start(len(units), [unit.name for unit in units])
    outputs: dict[str, Output] = {}
    for unit in units:
        entry = journal.get(unit.key) if finished(unit, journal) else None
        cached = entry is not None
        if entry is None:
            started = time.perf_counter()
            output = unit.run(outputs)
            seconds = time.perf_counter() - started
            entry = {"key": unit.key, "unit": unit.name, "seconds": round(seconds, 3), "output": output}
            journal.append(entry)
        outputs[unit.name] = entry["output"]
        progress.unit(unit.name, float(entry["seconds"]), cached)
    return outputs
