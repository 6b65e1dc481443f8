"""Which executor a study asks for."""

import os

from prime_audit.config import RunConfig
from prime_audit.study.executor import Executor, InProcess
from prime_audit.study.processes import Processes
from prime_audit.study.ray_workers import RayWorkers
from prime_audit.study.workbench import Workbench
from prime_audit.study.worker import setup_message


def threads_of(run: RunConfig) -> int | None:
    """Returns how many threads a worker computes with.

    Args:
        run: What the study says.

    Returns:
        What it asks for; else an equal share of the cores for each of several workers, and None, which is
        torch's own choice, for a single one.
    """
    if run.threads_per_worker is not None or (run.workers == 1 and run.executor == "local"):
        return run.threads_per_worker
    return max(1, (os.cpu_count() or 1) // run.workers)


def executor_of(bench: Workbench, threads: int | None) -> Executor:
    """Makes the executor that a study asks for.

    Args:
        bench: The workbench.
        threads: From `threads_of`.

    Returns:
        The executor; it must be closed.

    Raises:
        ConfigError: It needs a package that is not installed.
        OutputError: There is no cluster where the study says.
    """
    run = bench.config.run
    if threads is None or (run.workers == 1 and run.executor == "local"):
        return InProcess(bench.seeds, bench.batching)
    setup = setup_message(bench, threads)
    if run.executor == "ray":
        return RayWorkers(setup, run.workers, run.address)
    return Processes(setup, run.workers)
