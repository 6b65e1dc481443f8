"""A study that is killed with SIGKILL loses the unit in progress at most, and ends as if it had not been."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, environment, write_study

METHODS = ["base", "uniform", {"kind": "prime", "budget": 12}]


def killed(home: Path, skip: int, *kills: str) -> dict[str, Any]:
    """Runs the study once in peace and once through all kills; each lets ``skip`` more units finish."""
    write_study(home, methods=METHODS, data={"sharers": 3, "targets": 1}, training={"rank": 2, "epochs": 1})
    command = [sys.executable, "-m", "tests.study.killing", str(home), str(skip), *kills]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def expect(found: dict[str, Any], killed: int) -> None:
    assert found["killed"] == killed
    for end in found["ends"]:
        assert end == {"finished": found["units"], "computed twice": 0, "equal": True, "left over": []}


def test_five_kills_change_nothing(tmp_path: Path) -> None:
    expect(killed(tmp_path, 2, "after", "before", "torn", "search", "after"), 5)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("how", ["before", "torn", "after"])
def test_a_kill_at_every_line_of_the_journal_changes_nothing(how: str, tmp_path: Path) -> None:
    found = killed(tmp_path, 0, f"every-{how}")
    assert found["units"] >= 12
    expect(found, found["units"])


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_fifty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    expect(killed(tmp_path, 0, "random", "50"), 50)
