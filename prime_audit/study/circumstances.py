"""What units were computed with beside what their keys hold: other threads or packages round otherwise."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from prime_audit.core import plural, read_json, write_json
from prime_audit.errors import DataError
from prime_audit.study.identity import PACKAGES, version
from prime_audit.study.units import Unit

# Beside a module in the store, which outlives the run that trained it.
_FILE = "made.json"
Circumstances = dict[str, Any]


def circumstances() -> Circumstances:
    """Returns what this process computes with: torch's ``threads``, and ``packages`` with their versions."""
    return {"threads": torch.get_num_threads(), "packages": {name: version(name) for name in PACKAGES}}


def note_circumstances(folder: Path) -> None:
    """Writes what this process computes with beside what it has made.

    Args:
        folder: A folder of the store.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(folder / _FILE, circumstances())


def circumstances_of(unit: Unit) -> Circumstances | None:
    """Returns what a unit that has just ended was made with.

    Args:
        unit: The unit; what it has found in the store may be older than this run.

    Returns:
        The circumstances; None for a module beside which none stand, or nothing that can be read.
    """
    if unit.artefact is None or not unit.in_store:
        return circumstances()
    try:
        found = read_json(unit.artefact / _FILE)
    except DataError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("packages"), dict):
        return None
    return found if isinstance(found.get("threads"), int) else None


def made_otherwise(entries: Iterable[Mapping[str, Any]], here: Circumstances) -> list[dict[str, Any]]:
    """Counts the units that were not made as this run makes them.

    Args:
        entries: Lines of the journal.
        here: What this run computes with.

    Returns:
        Per other circumstances their ``threads`` (None: not known), the ``packages`` whose versions differ
        and the number of ``units``.
    """
    counted: Counter[tuple[int | None, tuple[tuple[str, str], ...]]] = Counter()
    for entry in entries:
        made = entry.get("made") or {"threads": None, "packages": {}}
        others = {name: of for name, of in made["packages"].items() if here["packages"].get(name) != of}
        if made["threads"] != here["threads"] or others:
            counted[made["threads"], tuple(sorted(others.items()))] += 1
    return [
        {"threads": threads, "packages": dict(packages), "units": units}
        for (threads, packages), units in counted.items()
    ]


def in_words(others: Iterable[Mapping[str, Any]], here: Circumstances) -> list[str]:
    """Writes one sentence per other circumstances that are known.

    Args:
        others: From `made_otherwise`.
        here: What this run computes with.

    Returns:
        The sentences.
    """
    sentences = []
    for other in others:
        if other["threads"] is None:
            continue
        ways = [f"{name} {of} (now {here['packages'].get(name)})" for name, of in other["packages"].items()]
        if other["threads"] != here["threads"]:
            ways.insert(0, f"{plural(other['threads'], 'thread')} (now {here['threads']})")
        sentences.append(
            f"{plural(other['units'], 'unit')} made with {', '.join(ways)}: figures may differ in their last "
            "digits from those of a run that is made in one way; see made_otherwise in manifest.json"
        )
    return sentences
