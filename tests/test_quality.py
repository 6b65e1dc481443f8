"""Lint, format and types are tests like any other, so that one command says whether a tree is good."""

import subprocess
import sys

import pytest

from tests.support import ROOT

FILES = ("prime_audit", "attacks", "tests", "benchmarks")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [("ruff", "check", *FILES), ("ruff", "format", "--check", *FILES), ("mypy",)],
    ids=["lint", "format", "types"],
)
def test_the_tree_is_clean(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
