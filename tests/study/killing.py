"""Kills a study again and again and lets it continue: `python -m tests.study.killing HOME KILLS`.

It runs in a process of its own: every start is a fork of it, which has torch loaded but has computed nothing.
KILLS is a list of words: `before`, `torn` and `after` kill -9 around the next line of the journal,
`search` in the middle of a search, and a number after so many seconds. Prints one JSON object.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

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


def main() -> None:
    home, skip, kills = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    study = home / "study.yaml"
    start(study, home / "whole", home / "store-whole", None, 0)
    killed = 0
    while kills:
        killed += not start(study, home / "killed", home / "store-killed", kills.pop(0), skip)
    start(study, home / "killed", home / "store-killed", None, 0)
    lines = (home / "killed" / "journal.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    whole = (home / "whole" / "journal.jsonl").read_text().splitlines()
    found = {
        "killed": killed,
        "units": len(whole),
        "finished": len(keys),
        "computed twice": len(keys) - len(set(keys)),
        "equal": (home / "whole" / "results.json").read_bytes()
        == (home / "killed" / "results.json").read_bytes(),
        "left over": [
            str(path.relative_to(home))
            for path in home.rglob("*")
            if path.name == "search" or (path.suffix in (".tmp", ".old") and "store" not in str(path))
        ],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
