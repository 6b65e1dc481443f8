"""Opens a study in a run directory: its users, coin flips, model and plan, alike in every process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from prime_audit.config import StudyConfig
from prime_audit.data import Dataset
from prime_audit.study.inputs import draw_design
from prime_audit.study.plan import plan
from prime_audit.study.store import Store
from prime_audit.study.units import Unit
from prime_audit.study.workbench import Workbench


def open_study(
    config: StudyConfig, dataset: Dataset, store: Path, out: Path, *, worker: bool = False
) -> tuple[Workbench, list[Unit]]:
    """Loads the model and plans the study.

    Args:
        config: The study.
        dataset: Its users.
        store: The folder of the store of trained modules.
        out: The run directory.
        worker: Whether this is a worker of a run that has begun; else the store is made ready for one.

    Returns:
        The workbench, and the units in an order in which each follows what it needs.

    Raises:
        OutputError: The store cannot be created.
        PrimeAuditError: The model cannot be used, or the study asks for what its data cannot give.
    """
    bench = Workbench(config, dataset, draw_design(config, dataset), Store(store), out)
    if not worker:
        bench.store.begin()
    return bench, plan(bench, bench.model_part())


def set_threads(threads: int | None) -> None:
    """Sets how many threads torch computes with; None leaves its own choice, all cores."""
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def threads_set(threads: int | None) -> Iterator[None]:
    """Sets torch's threads for a block: whoever calls from Python has a number of their own.

    Args:
        threads: As for `set_threads`.
    """
    before = torch.get_num_threads()
    set_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
