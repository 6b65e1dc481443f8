"""Runs units one after another in this process, skipping what the journal already holds."""

import time
from collections.abc import Sequence

from prime_audit.study.journal import Journal
from prime_audit.study.progress import Progress
from prime_audit.study.units import Output, Unit


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
        entry = journal.get(unit.key)
        if unit.artefact is not None and not unit.artefact.exists():
            entry = None  # what it left was deleted: do it again
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
