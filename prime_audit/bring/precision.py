"""How the base of an adapter held its weights, where a file beside the adapter says so."""

from dataclasses import dataclass
from pathlib import Path

from prime_audit.core import read_json


@dataclass(frozen=True)
class Said:
    """What a file says.

    Attributes:
        source: Name of the file.
        held: How the weights were quantised, or None if they were held in full.
    """

    source: str
    held: object


def quantization_beside(adapter: Path) -> Said | None:
    """Reads how the base of an adapter held its weights.

    Args:
        adapter: A folder that `personalize` wrote (``private.json``), or one under ``modules/`` of a run
            directory (``manifest.json``).

    Returns:
        What is said; None for any other adapter, which says nothing of it.

    Raises:
        DataError: The file is no JSON.
    """
    card = adapter / "private.json"
    if card.is_file():
        return _said(read_json(card), "base", card.name)
    # modules/<method>/<target>
    run = adapter.resolve().parents[2:3]
    manifest = run[0] / "manifest.json" if run and adapter.resolve().parents[1].name == "modules" else None
    if manifest is not None and manifest.is_file():
        return _said(read_json(manifest), "model", manifest.name)
    return None


def _said(content: object, section: str, source: str) -> Said | None:
    found = content.get(section) if isinstance(content, dict) else None
    if not isinstance(found, dict) or "quantization" not in found:
        return None
    return Said(source, found["quantization"])
