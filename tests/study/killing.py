"""Kills a study again and again and lets it continue: `python -m tests.study.killing HOME SKIP KILLS`.

It runs in a process of its own: every start is a fork of it, which has torch loaded but has computed nothing.
KILLS is a list of words: `before`, `torn` and `after` kill -9 around the next line of the journal and
`search` in the middle of a search; or `every-before`, `every-torn`, `every-after` at each line once; or
`random` and how often. Prints one JSON object.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from prime_audit.config import load_study
from prime_audit.personalize.search_log import Figures, Floats, SearchLog
from prime_audit.study.journal import Journal
from prime_audit.study.runner import run_study

Measure = Callable[[], list[Figures]]
_append = Journal.append
_measured = SearchLog.measured


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def around_the_journal(how: str, skip: int) -> None:
    left = skip

    def append(self: Journal, entry: dict[str, Any]) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            _append(self, entry)
            return
        if how == "torn":
            with self._log.path.open("ab") as file:
                file.write(json.dumps(entry).encode()[:-7])
        if how == "after":
            _append(self, entry)
        die()

    Journal.append = append  # type: ignore[method-assign]


def in_a_search() -> None:
    calls = 0

    def measured(self: SearchLog, of: str, points: Floats, measure: Measure) -> list[Figures]:
        nonlocal calls
        calls += 1
        found = _measured(self, of, points, measure)
        if calls == 2:
            die()
        return found

    SearchLog.measured = measured  # type: ignore[method-assign]


def start(study: Path, out: Path, store: Path, kill: str | None, skip: int) -> bool:
    """Starts the study in a fork; returns whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        os.environ["PRIME_AUDIT_CACHE"] = str(store)
        if kill in ("before", "torn", "after"):
            around_the_journal(kill, skip)
        elif kill == "search":
            in_a_search()
        try:
            run_study(load_study(study), out)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if kill is not None and kill[0].isdigit():
        time.sleep(float(kill))
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a start failed by itself")
    return os.WIFEXITED(status)


def compare(home: Path) -> dict[str, Any]:
    """Holds the study that was killed and has come to its end against the one that nobody killed."""
    lines = (home / "killed" / "journal.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    results = [(home / run / "results.json").read_bytes() for run in ("whole", "killed")]
    return {
        "finished": len(keys),
        "computed twice": len(keys) - len(set(keys)),
        "equal": results[0] == results[1],
        "left over": [
            str(path.relative_to(home))
            for path in home.rglob("*")
            if path.name == "search" or (path.suffix in (".tmp", ".old") and "store" not in str(path))
        ],
    }


def kill_at_each(home: Path, skip: int, kills: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Kills as the words say; `every-HOW` at each line of the journal once."""
    study, killed = home / "study.yaml", 0
    plan = [(kill, skip) for kill in kills]
    if kills[0].startswith("every-"):
        how = kills[0].removeprefix("every-")
        units = len((home / "whole" / "journal.jsonl").read_text().splitlines())
        # A start that dies before its next line has to write the one that the start before it did not.
        plan = [(how, int(how != "after" and place > 0)) for place in range(units)]
    for kill, left in plan:
        killed += not start(study, home / "killed", home / "store-killed", kill, left)
    start(study, home / "killed", home / "store-killed", None, 0)
    return killed, [compare(home)]


def kill_at_random(home: Path, wanted: int) -> tuple[int, list[dict[str, Any]]]:
    """Kills so many times at random moments; where the study comes to its end first, it starts anew."""
    moments = np.random.default_rng(0)
    study, killed, found = home / "study.yaml", 0, []
    while killed < wanted:
        moment = f"{moments.uniform(0.1, 3):.2f}"
        if not start(study, home / "killed", home / "store-killed", moment, 0):
            killed += 1
            continue
        found.append(compare(home))
        for folder in ("killed", "store-killed"):
            shutil.rmtree(home / folder)
    start(study, home / "killed", home / "store-killed", None, 0)
    return killed, [*found, compare(home)]


def main() -> None:
    home, skip, kills = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    start(home / "study.yaml", home / "whole", home / "store-whole", None, 0)
    units = len((home / "whole" / "journal.jsonl").read_text().splitlines())
    if kills[0] == "random":
        killed, ends = kill_at_random(home, int(kills[1]))
    else:
        killed, ends = kill_at_each(home, skip, kills)
    print(json.dumps({"killed": killed, "units": units, "ends": ends}))


if __name__ == "__main__":
    main()
