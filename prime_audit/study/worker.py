"""A worker: opens a study once and carries out the units that it is told, one at a time.

It speaks JSON, one message a line: the set-up and then tasks come in on
stdin, answers go out on stdout. Nothing is unpickled, and a unit travels as its name: each worker plans the
study itself, and refuses a unit whose key is not the one that it would have given it.
"""

import json
import os
import queue
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prime_audit import errors
from prime_audit.config import StudyConfig
from prime_audit.core import unexpected
from prime_audit.errors import IncompleteError, PrimeAuditError
from prime_audit.study.executor import Done, carry_out_unit
from prime_audit.study.identity import version_here, versions
from prime_audit.study.inputs import load_dataset
from prime_audit.study.opening import open_study, set_threads
from prime_audit.study.units import Output, Unit
from prime_audit.study.workbench import Workbench

Message = dict[str, Any]
_FAULT = "this is a fault in the program: `prime-audit --debug ...` with run.workers=1 shows more"
_SHARED = (
    "the run directory, PRIME_AUDIT_CACHE, the folder that the command is given in, the data and the base "
    "model must lie at the same place on all nodes"
)


def setup_message(bench: Workbench, threads: int) -> Message:
    """Returns what a worker must know to open a study.

    Args:
        bench: The command's own workbench; every worker must see its run directory and store.
        threads: How many threads torch computes with.

    Returns:
        A JSON-serialisable message.
    """
    return {
        "study": bench.config.model_dump(mode="json"),
        "store": str(bench.store.root.resolve()),
        "out": str(bench.out.resolve()),
        "device": bench.pretrained.device.type,
        "folder": str(Path.cwd()),
        "threads": threads,
        "versions": versions(bench.config.model),
    }


def task_message(unit: Unit, outputs: Mapping[str, Output]) -> Message:
    """Returns the message that has a worker carry out a unit; ``outputs`` are those it has not seen yet."""
    return {"unit": unit.name, "key": unit.key, "outputs": dict(outputs)}


def read_answer(answer: Message) -> Done:
    """Returns how a unit ended, from a worker's answer."""
    if "output" in answer:
        return Done(answer["unit"], answer["output"], answer["seconds"], halved=answer["halved"])
    kind = getattr(errors, answer["kind"], PrimeAuditError)
    return Done(answer["unit"], error=kind(answer["message"], hint=answer["hint"]))


class Worker:
    """One opened study, with what it was told of finished units."""

    def __init__(self, setup: Message) -> None:
        """Opens the study.

        Args:
            setup: From `setup_message`.

        Raises:
            IncompleteError: A package has another version here.
            OutputError: The run directory or the folder of the command is not there.
            PrimeAuditError: The study cannot be opened.
        """
        _check_versions(setup["versions"])
        out = Path(setup["out"])
        for folder, what in ((out, "run directory"), (Path(setup["folder"]), "folder of the command")):
            if not folder.is_dir():
                raise errors.OutputError(f"{folder}: this worker does not see the {what}", hint=_SHARED)
        # Paths in a study start at the folder that the command was given in.
        os.chdir(setup["folder"])
        set_threads(setup["threads"])
        config = StudyConfig.model_validate_json(json.dumps(setup["study"]))
        self._bench, units = open_study(config, load_dataset(config), Path(setup["store"]), out, worker=True)
        self._units = {unit.name: unit for unit in units}
        self._outputs: dict[str, Output] = {}

    def carry_out(self, task: Message) -> Message:
        """Carries out one unit.

        Args:
            task: From `task_message`.

        Returns:
            The answer, for `read_answer`.
        """
        self._outputs |= task["outputs"]
        unit = self._units.get(task["unit"])
        if unit is None or unit.key != task["key"]:
            return failure(task["unit"], _other_plan(task["unit"]))
        done = carry_out_unit(unit, self._outputs, self._bench.seeds, self._bench.batching)
        if done.error is not None:
            return failure(unit.name, done.error)
        return {"unit": unit.name, "output": done.output, "seconds": done.seconds, "halved": done.halved}


def _check_versions(wanted: Mapping[str, str]) -> None:
    here = {name: version_here(name) for name in wanted}
    others = [f"{name} {here[name]} instead of {wanted[name]}" for name in here if here[name] != wanted[name]]
    if others:
        raise IncompleteError(
            f"the worker has other packages than the command: {', '.join(others)}",
            hint="install the same versions everywhere",
        )


def _other_plan(unit: str) -> PrimeAuditError:
    return IncompleteError(
        f"unit {unit}: the worker plans another study than the command",
        hint="data, model and package versions must be the same everywhere",
    )


def failure(unit: str, error: Exception) -> Message:
    """Returns the answer that tells of an error; an unexpected one by type and place, without its text."""
    if isinstance(error, PrimeAuditError):
        return {"unit": unit, "kind": type(error).__name__, "message": str(error), "hint": error.hint}
    told = unexpected(error, _FAULT)
    return {
        "unit": unit,
        "kind": type(told).__name__,
        "message": f"unit {unit}: {told}",
        "hint": told.hint,
    }


def main() -> None:
    """Answers tasks until stdin ends."""
    for category in (FutureWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    worker: Worker | Exception
    try:
        worker = Worker(json.loads(messages.get()))
    except Exception as error:
        worker = error
    while True:
        answers.write(answer_to(json.loads(messages.get()), worker) + "\n")
        answers.flush()


def answer_to(task: Message, worker: Worker | Exception) -> str:
    """Returns the answer to a task as JSON; whatever goes wrong is an answer too.

    Args:
        task: From `task_message`.
        worker: Carries it out; or why there is none, which is told where somebody waits for an answer.

    Returns:
        One line, for `read_answer`.
    """
    try:
        if isinstance(worker, Exception):
            raise worker
        return json.dumps(worker.carry_out(task), allow_nan=False)
    except Exception as error:
        return json.dumps(failure(task["unit"], error))


def _listen(messages: "queue.SimpleQueue[str]") -> None:
    """Hands on what comes in; once the command is gone, whatever is in progress is for nobody."""
    for line in sys.stdin:
        messages.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
