"""Local worker processes behind the executor's protocol; see `worker` for what they are told."""

import contextlib
import json
import selectors
import subprocess
import sys
from typing import IO

from prime_audit.study.executor import Done
from prime_audit.study.units import Outputs, Unit
from prime_audit.study.worker import Message, read_answer, task_message

_PATIENCE = 5.0  # seconds that a worker has to leave by itself


class Processes:
    """Some worker processes of this machine; a worker that dies is replaced."""

    def __init__(self, setup: Message, workers: int) -> None:
        """Start no worker yet: one is started when there is a unit for it.

        Args:
            setup: Tells a worker of the study.
            workers: How many work at a time.
        """
        self._setup = setup
        self._workers = workers
        self._idle: list[_Process] = []
        self._busy: dict[str, _Process] = {}
        self._selector = selectors.DefaultSelector()

    @property
    def free(self) -> int:
        """How many workers have nothing to do, those not started yet included."""
        return self._workers - len(self._busy)

    def submit(self, unit: Unit, outputs: Outputs) -> None:
        """Give a unit to a worker."""
        process = self._idle.pop() if self._idle else _Process(self._setup)
        self._busy[unit.name] = process
        process.send_task(unit, outputs)
        self._selector.register(process.answers, selectors.EVENT_READ, unit.name)

    def wait(self) -> Done:
        """Return the first answer, or the news that a worker has died."""
        key, _ = self._selector.select()[0]
        name: str = key.data
        self._selector.unregister(key.fileobj)
        process = self._busy.pop(name)
        line = process.answers.readline()
        if not line.endswith(b"\n"):
            return Done(name, lost=process.end())
        self._idle.append(process)
        return read_answer(json.loads(line))

    def close(self) -> None:
        """End every worker."""
        processes = (*self._idle, *self._busy.values())
        # All are told before the first is waited for.
        for process in processes:
            process.dismiss()
        for process in processes:
            process.end()
        self._idle, self._busy = [], {}
        self._selector.close()


class _Process:
    """One worker process."""

    def __init__(self, setup: Message) -> None:
        self._process = subprocess.Popen(
            # -P: a file of the working folder that is called like a library is never imported.
            # Not as a module: the package imports it before it would be run, and Python warns of that.
            [sys.executable, "-P", "-c", "from prime_audit.study.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A signal to the command's group is the command's to answer; a worker ends when its stdin does.
            process_group=0,
        )
        self._seen: set[str] = set()
        self._send(setup)

    @property
    def answers(self) -> IO[bytes]:
        """Where its answers come out."""
        return _open(self._process.stdout)

    def send_task(self, unit: Unit, outputs: Outputs) -> None:
        """Have it carry out a unit, with the outputs that it has not been sent yet."""
        fresh = {name: output for name, output in outputs.items() if name not in self._seen}
        self._seen.update(fresh)
        self._send(task_message(unit, fresh))

    def _send(self, message: Message) -> None:
        pipe = _open(self._process.stdin)
        try:
            pipe.write(json.dumps(message, allow_nan=False).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            # It has died; its answers end, which is noticed where they are waited for.
            return

    def dismiss(self) -> None:
        """Tell it that nothing more will come."""
        with contextlib.suppress(BrokenPipeError):
            _open(self._process.stdin).close()

    def end(self) -> str:
        """End it, if it has not ended; returns how it ended, in words."""
        self.dismiss()
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.answers.close()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the worker has no pipe")
    return pipe
