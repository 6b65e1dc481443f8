"""What `personalize` leaves behind: an adapter with a card for anybody, and a file for its owner."""

import os
from pathlib import Path
from typing import Final

from prime_audit.core import atomic_dir, atomic_write_text, write_json
from prime_audit.errors import OutputError
from prime_audit.modules import write_module
from prime_audit.personalize.adapters import CONFIG, WEIGHTS
from prime_audit.personalize.card import card, private
from prime_audit.personalize.record import Deployed, Record

CARD: Final = "README.md"
PRIVATE: Final = "private.json"
FILES: Final = (WEIGHTS, CONFIG, CARD, PRIVATE)


def check_out(out: Path, adapters: Path, force: bool) -> None:
    """Refuses a place that cannot or must not be written, before anything is computed.

    Args:
        out: The folder to write.
        adapters: The folder of the sharers' adapters.
        force: Whether the result of an earlier call may be replaced.

    Raises:
        OutputError: The place is taken, not writable, or among the adapters.
    """
    if out.resolve().is_relative_to(adapters.resolve()):
        raise OutputError(
            f"{out}: lies in the folder of the adapters, where it would be read as one more sharer",
            hint="choose another --out",
        )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out}: there is something else of this name", hint="choose another --out")
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in there if name not in FILES]
    if foreign:
        raise OutputError(
            f"{out}: this folder holds other files, such as {foreign[0]}", hint="choose another --out"
        )
    if there and not force:
        raise OutputError(
            f"{out}: there is a personalisation already", hint="choose another --out, or use --force"
        )
    above = next(parent for parent in out.resolve().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{out}: cannot be written: {above} is no folder that lets you", hint="choose another --out"
        )


def write_output(record: Record, out: Path) -> Deployed:
    """Writes adapter, card and private file under a temporary name and renames them.

    Args:
        record: What was deployed.
        out: The folder; missing parents are made, and an earlier result is replaced.

    Returns:
        What was written.

    Raises:
        OutputError: The folder cannot be written.
    """
    adapter = record.deployed.adapter
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be made: {error.strerror or error}") from error
    with atomic_dir(out) as folder:
        if adapter is not None:
            write_module(adapter, folder, record.base)
        atomic_write_text(folder / CARD, card(record))
        write_json(folder / PRIVATE, private(record))
    return Deployed(
        out=out,
        method=record.settings.id,
        reverted=record.reverted,
        reason=record.reason,
        adapter=None if adapter is None else adapter.digest,
        norm_ratio=record.norm_ratio,
        utility=record.utility,
    )
