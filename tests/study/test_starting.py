"""What is refused at the start of a run leaves an earlier run in the same directory as it was."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from prime_audit.config import StudyConfig, load_study
from prime_audit.core import digest_folder
from prime_audit.errors import ConfigError, DataError, IncompleteError, NoSpaceError, PrimeAuditError
from prime_audit.study.runner import run_study
from tests.support import Notes, write_study


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run, with a store of its own."""
    home = tmp_path_factory.mktemp("starting")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(home / "cache"))
        run_study(study(home), home / "run")
        yield home
    torch.set_num_threads(threads)


def study(home: Path, **run: object) -> StudyConfig:
    return load_study(
        write_study(
            home, data={"sharers": 3, "targets": 1}, methods=["base"], run={"threads_per_worker": 1, **run}
        )
    )


@pytest.mark.parametrize(
    ("settings", "reuse", "error"),
    [({}, "typo", DataError), ({}, "run", ConfigError), ({"executor": "ray"}, None, ConfigError)],
)
def test_what_is_refused_leaves_the_earlier_run(
    settings: dict[str, object],
    reuse: str | None,
    error: type[PrimeAuditError],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    before = digest_folder(home / "run")
    named = home / reuse if reuse is not None else None
    with pytest.raises(error):
        run_study(study(home, **settings), home / "run", fresh=True, reuse=named)
    assert digest_folder(home / "run") == before


def test_more_processes_than_cores_are_said_beforehand(home: Path, tmp_path: Path) -> None:
    heard = Notes()
    many = (os.cpu_count() or 1) + 1
    run_study(study(home, workers=many), tmp_path / "many", progress=heard)
    assert any(f"run.workers: {many} processes share" in note for note in heard.notes)
    # Nothing is left to do, and so nothing to be said.
    heard = Notes()
    run_study(study(home, workers=many), tmp_path / "many", progress=heard)
    assert not any("processes share" in note for note in heard.notes)


def test_a_disk_that_is_too_small_leaves_the_earlier_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_folder(home / "run")
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    for settings, fresh in (({}, True), ({"batch_tokens": 512}, False)):
        with pytest.raises(NoSpaceError):
            run_study(study(home, **settings), home / "run", fresh=fresh)
        assert digest_folder(home / "run") == before


def test_a_finished_run_needs_no_cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    before = (home / "run" / "results.json").read_bytes()
    run_study(study(home, executor="ray"), home / "run")
    assert (home / "run" / "results.json").read_bytes() == before


def test_a_damaged_journal_can_be_started_over(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    before = (run / "results.json").read_bytes()
    journal = run / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"unit"', b'"tinu"', 1))
    with pytest.raises(PrimeAuditError, match=r"line 1 .* is damaged"):
        run_study(study(home), run)
    run_study(study(home), run, fresh=True)
    assert (run / "results.json").read_bytes() == before


def test_a_start_tidies_up_after_killed_ones_and_leaves_the_users_own_files(home: Path) -> None:
    left = [home / "run" / ".results.json.abcd1234.tmp", home / "run" / "evidence" / ".x.abcd_234.tmp"]
    own = [home / "run" / name for name in (".env.old", ".venv.old", ".notes.original.old")]
    for path in (*left, *own):
        path.write_text("x")
    run_study(study(home), home / "run")
    assert not any(path.exists() for path in left)
    for path in own:
        path.unlink()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty or no mapping"),
        ("- a\n", "empty or no mapping"),
        ("name: small\ntask: [lamp-4\n", "no YAML from line 3 on"),
        ("name: !!python/name:os.system\n", "no YAML from line 1 on"),
        ("name: \udcff\n", "cannot be read"),
        ("name: 2020-01-01\n", "cannot be read"),
        ("name: 2020-99-99\n", "cannot be read"),
        ("name: .nan\n", "cannot be read"),
        ("name: !!int ''\n", "cannot be read"),
        ("name: !!bool x\n", "cannot be read"),
        ("name: !!timestamp x\n", "cannot be read"),
        ("1: a\nb: c\n", "cannot be read"),
        ("a: &a [*a]\n", "cannot be read"),
        ("a: " + "[" * 5000 + "]" * 5000, "cannot be read"),
    ],
)
def test_a_damaged_configuration_of_a_run_is_no_fault_of_the_program(
    text: str, why: str, home: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    (run / "config.resolved.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    before = digest_folder(run)
    with pytest.raises(IncompleteError, match=rf"config\.resolved\.yaml is damaged \(.*{why}") as caught:
        run_study(study(home), run)
    assert "--fresh" in caught.value.hint
    assert digest_folder(run) == before


def test_a_run_with_a_damaged_configuration_can_be_started_over_and_a_changed_one_is_another(
    home: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    path, before = run / "config.resolved.yaml", (run / "config.resolved.yaml").read_text()
    path.write_text(before.replace("seed: ", "seed: 1"))
    with pytest.raises(ConfigError, match="belongs to a run of another configuration"):
        run_study(study(home), run)
    path.write_text("")
    run_study(study(home), run, fresh=True)
    assert path.read_text() == before
