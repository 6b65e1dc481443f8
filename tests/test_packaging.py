"""What is shipped, what is promised about it, and what continuous integration runs, agree."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from prime_audit import __version__
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def test_every_dependency_is_pinned_for_ci() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    extras = [entry for group in PROJECT["optional-dependencies"].values() for entry in group]
    wanted = {name_of(entry) for entry in [*PROJECT["dependencies"], *extras]}
    assert wanted - {name_of(pin) for pin in pins} == set()


def test_ci_runs_the_readme_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = "python -m pytest -n 2 --dist loadfile"
    assert f"\n{command}\n" in script.replace('"$venv/bin/python"', "python")
    assert f".venv/bin/{command}\n" in README

    install = "install -q -c constraints.txt -e '.[dev]'"
    assert install in script
    assert install in README


def test_the_version_is_the_same_everywhere() -> None:
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_readme_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prime_audit", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = re.findall(r"^  ([a-z]+)  ", done.stdout.split("Commands:")[1], re.MULTILINE)
    assert len(commands) >= 6
    section = README.split("\n## Commands\n")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z]+)", section, re.MULTILINE))
    assert documented == set(commands)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_wheel_holds_the_two_packages_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), "."]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "prime_audit",
        "attacks",
        f"prime_audit-{__version__}.dist-info",
    }
    assert not [name for name in names if name.endswith((".pyc", ".bin", ".pt"))]
    shipped = {
        path.relative_to(ROOT).as_posix()
        for package in ("prime_audit", "attacks")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped <= set(names)
