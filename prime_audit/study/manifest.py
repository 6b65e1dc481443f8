"""manifest.json: everything about a run that may differ between equal runs."""

import os
import platform
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from prime_audit.data import overlaps
from prime_audit.models import LanguageModel
from prime_audit.study.executors import threads_of
from prime_audit.study.identity import packages, version
from prime_audit.study.workbench import Workbench


def now() -> str:
    """Returns the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


# How a run was made, which a start that computes nothing does not change.
PROVENANCE = (
    "tool",
    "python",
    "platform",
    "cpu_threads",
    "threads_per_worker",
    "deterministic",
    "packages",
    "made_otherwise",
    "command",
    "started",
    "finished",
)


@dataclass(frozen=True)
class Work:
    """What the units of a run amounted to, over all the commands that made it.

    Attributes:
        adapted_on: Number of public items that the base was adapted on.
        seconds: Compute seconds per stage.
        by_method: Compute seconds per target that each method took to be made and to answer, its own modules
            among them, what all methods share (the sharers' modules) not.
        halved: How many batches did not fit into memory and were halved.
        otherwise: Units that were made with other threads or packages; see `made_otherwise`.
    """

    adapted_on: int
    seconds: dict[str, float]
    by_method: dict[str, float]
    halved: int
    otherwise: list[dict[str, Any]]


def manifest(bench: Workbench, started: str, work: Work) -> dict[str, Any]:
    """Describes how and on what a run was made.

    Args:
        bench: The workbench of the run.
        started: When this command started.
        work: What was done.

    Returns:
        A JSON-serialisable description without paths of the machine.
    """
    return {
        "tool": {"name": "prime-audit", "version": version("prime-audit")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_threads": os.cpu_count() or 1,
        # Sums are added up in another order by another number of threads.
        "threads_per_worker": threads_of(bench.config.run) or torch.get_num_threads(),
        "deterministic": {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        },
        "packages": packages(bench.config.model),
        "made_otherwise": work.otherwise,
        "command": _command(),
        "started": started,
        "finished": now(),
        "seconds": work.seconds,
        "seconds_by_method": work.by_method,
        "batches": {"tokens": bench.batching.tokens, "halved": work.halved},
        "study": bench.config.model_dump(mode="json"),
        "data_digest": bench.dataset.digest,
        "design": _design(bench),
        "adapted_on": work.adapted_on,
        "modules": _modules(bench),
        "model": _model(bench.pretrained),
        "device": str(bench.pretrained.device),
        "dtype": str(bench.pretrained.model.dtype).removeprefix("torch."),
    }


def _model(lm: LanguageModel) -> dict[str, Any]:
    # The layers of a quantised model compute in the run's dtype.
    held = None if lm.quantization is None else dict(lm.quantization)
    return {"name": lm.name, "digest": lm.digest, "quantization": held}


def _design(bench: Workbench) -> dict[str, Any]:
    records = sum(map(len, bench.holdout.flips.values()))
    flips = [flip for user in bench.holdout.flips for flip in bench.holdout.audited_flips(user)]
    return {
        "commitment": bench.holdout.manifest()["commitment"],
        # Of every design of the study, by the name of its file in evidence/.
        "commitments": {name: design["commitment"] for name, design in bench.designs().items()},
        "users": len(bench.holdout.flips),
        "members": sum(flips),
        "nonmembers": len(flips) - sum(flips),
        # Set aside for methods that measure their own leak; the two counts above leave them out.
        "calibration": records - len(flips),
        # Held-out records that nearly repeat something trained on: they blur the line that is measured.
        "overlaps": len(overlaps(bench.holdout, bench.dataset)),
    }


def _modules(bench: Workbench) -> dict[str, Any]:
    """Keys of the store, where `prime-audit personalize` finds the modules again."""
    units = {user.id: f"train/{user.id}" for user in bench.dataset.sharers}
    return {
        "adaptation": bench.keys.get("adapt"),
        "sharers": {user: bench.keys[unit] for user, unit in units.items() if unit in bench.keys},
    }


def _command() -> str:
    """The command line as typed, with the program's path cut to its name."""
    program = os.path.basename(sys.argv[0]) or "prime-audit"
    return shlex.join([program, *sys.argv[1:]])
