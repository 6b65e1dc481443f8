"""How much room a run needs on disk, estimated before it starts."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from prime_audit.errors import NoSpaceError
from prime_audit.personalize import METHODS
from prime_audit.study.planner import IN_STORE
from prime_audit.study.units import Unit
from prime_audit.study.workbench import Workbench

# A scored token in a file of evidence: three float64, a bool, an int64.
TOKEN_BYTES = 33
# A record in a file that keeps one figure of each.
RECORD_BYTES = 16
# An output, its line in the journal and the headers of its files.
UNIT_BYTES = 16_384
# Evidence files hold several variants of each record; the largest design holds about this many.
VARIANTS = {"score": 1, "pass": 12, "shade": 16, "expose": 4}
OF_ONE_USER = ("score/base/", "score/control-own-module/", "pass/control-base/", "pass/control-own-module/")


@dataclass(frozen=True)
class Room:
    """Bytes that units will write, estimated from above.

    Attributes:
        stored: In the store of modules.
        written: In the run directory.
    """

    stored: int
    written: int

    def __str__(self) -> str:
        """In words, for the plan."""
        written, stored = (f"{size / 1e6:.1f} MB" for size in (self.written, self.stored))
        return f"at most {written} in the run directory and {stored} in the store of modules"


def estimate(bench: Workbench, units: Sequence[Unit], model: nn.Module) -> Room:
    """Estimates from above what units will write.

    Args:
        bench: The workbench.
        units: The units that are still to be done; a module that lies in the store is not written again.
        model: The study's model; its layers' shapes are all that is looked at.

    Returns:
        The bytes.
    """
    shapes, rank = _shapes(bench, model), bench.config.training.rank
    together = rank * bench.config.sharers.per_target
    # A method's own module may have a rank of its own.
    own = {
        method.id: (getattr(method, "rank", None) or rank) if METHODS[method.kind].needs_own_module else 0
        for method in bench.config.methods
    }
    stored = written = 0
    for unit in units:
        _, _, of = unit.name.partition("/")
        method = of.partition("/")[0]
        if unit.stage in IN_STORE and not (unit.artefact is not None and unit.artefact.exists()):
            stored += UNIT_BYTES + _module_bytes(shapes, own[method] if unit.stage == "own" else rank)
        elif unit.stage == "deploy":
            written += _module_bytes(shapes, together + own[method])
        written += UNIT_BYTES + _evidence_bytes(bench, unit)
    return Room(stored, written)


def _shapes(bench: Workbench, model: nn.Module) -> list[tuple[int, int]]:
    """The shapes of the layers that modules change."""
    wanted = bench.config.training.target_modules
    layers = [m for name, m in model.named_modules() if name.rpartition(".")[2] in wanted]
    # The shape of a weight in 4 bits is that of its packing.
    return [(m.out_features, m.in_features) for m in layers if isinstance(m, nn.Linear)]


def _module_bytes(shapes: Sequence[tuple[int, int]], rank: int) -> int:
    """The bytes of a module in float32; no layer has more than its full rank."""
    return sum(4 * min(rank, *shape) * sum(shape) for shape in shapes)


def _evidence_bytes(bench: Workbench, unit: Unit) -> int:
    if unit.stage == "black-box":
        return RECORD_BYTES * sum(len(bench.holdout.audited_flips(one.id)) for one in bench.dataset.sharers)
    if unit.stage not in VARIANTS:
        return 0
    paper = bench.config.audit.design == "prime-paper"
    merged = len(bench.dataset.sharers) if paper else bench.config.sharers.per_target
    # A method may be about the target too.
    users = 1 if unit.name.startswith(OF_ONE_USER) else merged + 1
    return VARIANTS[unit.stage] * users * bench.longest_history * TOKEN_BYTES


def check_room(bench: Workbench, units: Sequence[Unit], freed: int = 0) -> Room:
    """Refuses to start where the disk does not hold what will be written.

    Args:
        bench: The workbench.
        units: The units that are still to be done.
        freed: Bytes of the run directory that are removed before anything is written.

    Returns:
        What will be written.

    Raises:
        NoSpaceError: With the bytes that are needed and free.
    """
    room = estimate(bench, units, bench.pretrained.model)
    needs = [(bench.store.root, room.stored), (bench.out, room.written)]
    if _device(bench.store.root) == _device(bench.out):
        needs = [(bench.out, room.stored + room.written)]
    for place, needed in needs:
        free = shutil.disk_usage(place).free + (freed if place == bench.out else 0)
        if free < needed:
            raise NoSpaceError(
                f"{place}: the run needs about {needed} bytes there, and {free} bytes are free",
                hint="make room, or use another --out or PRIME_AUDIT_CACHE",
            )
    return room


def _device(path: Path) -> int:
    return path.stat().st_dev
