"""What several rooms of tests need: the command line in a process of its own, and a study of seconds."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("prime_audit", "attacks")

needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes (extra gpu) is not installed"
)

STUDY = """\
schema_version: 1
name: small
task: lamp-4
data: {sharers: 4, targets: 1}
model: {base: tiny, device: cpu, dtype: float32}
training: {rank: 2, alpha: 4, lr: 5.0e-3, epochs: 1}
adaptation: {max_items: 8}
sharers: {per_target: 2}
methods: [base, uniform]
audit: {permutations: 1000, controls: [base, own-module]}
run: {threads_per_worker: 1}
"""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def environment(home: Path, *packages: Path) -> dict[str, str]:
    """The environment of a command that shares nothing with the user's own runs.

    Folders of further packages come after this one.
    """
    return {
        **os.environ,
        "HOME": str(home),
        "PRIME_AUDIT_CACHE": str(home / "cache"),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *packages))),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }


def run_cli(*args: str | Path, home: Path, packages: Sequence[Path] = ()) -> Finished:
    """Run `prime-audit` as a user would, in `home`."""
    done = subprocess.run(
        [sys.executable, "-m", "prime_audit", *map(str, args)],
        cwd=home,
        env=environment(home, *packages),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def write_study(folder: Path, **sections: object) -> Path:
    """Write a study file; a keyword replaces the section of that name."""
    lines = [line for line in STUDY.splitlines() if line.partition(":")[0] not in sections]
    lines += [f"{name}: {json.dumps(value)}" for name, value in sections.items()]
    path = folder / "study.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def user(
    name: str, role: str = "sharer", answer: str = "a plain headline", records: int = 6
) -> dict[str, Any]:
    """One well-formed line of users.jsonl; a target also has queries."""
    history = [
        {"id": f"{name}-{i}", "input": f"story {i} of {name}", "answer": f"{answer} {i}"}
        for i in range(records)
    ]
    queries = [{"id": f"{name}-q", "input": f"a new story for {name}", "answer": answer}]
    return {"user": name, "role": role, "history": history, "queries": queries if role == "target" else []}


def write_users(folder: Path, *users: Mapping[str, object]) -> Path:
    """Write users.jsonl."""
    path = folder / "users.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in users), encoding="utf-8")
    return path


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: what a full disk does, without a disk of one's own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Notes:
    """A progress that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, total: int, names: list[str]) -> None: ...

    def unit(self, name: str, seconds: float, cached: bool) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)
