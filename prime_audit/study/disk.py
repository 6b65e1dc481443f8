"""How much room a run needs on disk, estimated before it starts."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from prime_audit.errors import NoSpaceError
from prime_audit.study.units import Unit
from prime_audit.study.workbench import Workbench

# A scored token in a file of evidence: three float64, a bool, an int64.
TOKEN_BYTES = 33
# An output, its line in the journal and the headers of its files.
UNIT_BYTES = 16_384
# Evidence files hold several variants of each record; the largest design holds about this many.
VARIANTS = {"score": 1, "pass": 12, "shade": 16, "expose": 4}
OF_ONE_USER = ("score/base/", "score/control-own-module/", "pass/control-base/", "pass/control-own-module/")


def estimate(bench: Workbench, units: Sequence[Unit]) -> tuple[int, int]:
    """Estimates from above what units will write.

    Args:
        bench: The workbench.
        units: The units that are still to be done.

    Returns:
        Bytes in the store of modules, and bytes in the run directory.
    """
    stages = Counter(unit.stage for unit in units)
    module, merged = module_bytes(bench, 1), module_bytes(bench, bench.config.sharers.per_target)
    stored = sum(stages[stage] for stage in ("adapt", "train", "gate", "shadow", "swap", "plant"))
    evidence = sum(_evidence_bytes(bench, unit) for unit in units)
    return stored * (module + UNIT_BYTES), stages["deploy"] * merged + evidence + len(units) * UNIT_BYTES


def module_bytes(bench: Workbench, sharers: int) -> int:
    """Returns the bytes of a module in float32 whose rank is that of so many sharers' modules together."""
    rank = bench.config.training.rank * sharers
    wanted = bench.config.training.target_modules
    layers = [m for name, m in bench.pretrained.model.named_modules() if name.rpartition(".")[2] in wanted]
    weights = [m.weight for m in layers if isinstance(getattr(m, "weight", None), nn.Parameter)]
    shapes = [(int(w.shape[0]), int(w.shape[1])) for w in weights if w.ndim == 2]
    return sum(4 * min(rank, *shape) * sum(shape) for shape in shapes)


def _evidence_bytes(bench: Workbench, unit: Unit) -> int:
    if unit.stage not in VARIANTS:
        return 0
    users = 1 if unit.name.startswith(OF_ONE_USER) else bench.config.sharers.per_target
    return VARIANTS[unit.stage] * users * bench.longest_history * TOKEN_BYTES


def check_room(bench: Workbench, units: Sequence[Unit]) -> None:
    """Refuses to start where the disk does not hold what will be written.

    Args:
        bench: The workbench.
        units: The units that are still to be done.

    Raises:
        NoSpaceError: With the bytes that are needed and free.
    """
    stored, written = estimate(bench, units)
    needs = [(bench.store.root, stored), (bench.out, written)]
    if _device(bench.store.root) == _device(bench.out):
        needs = [(bench.out, stored + written)]
    for place, needed in needs:
        free = shutil.disk_usage(place).free
        if free < needed:
            raise NoSpaceError(
                f"{place}: the run needs about {needed} bytes there, and {free} bytes are free",
                hint="make room, or use another --out or PRIME_AUDIT_CACHE",
            )


def _device(path: Path) -> int:
    return path.stat().st_dev
