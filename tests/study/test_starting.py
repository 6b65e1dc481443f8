"""What is refused at the start of a run leaves an earlier run in the same directory as it was."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from prime_audit.config import StudyConfig, load_study
from prime_audit.core import digest_folder
from prime_audit.errors import ConfigError, DataError, NoSpaceError, PrimeAuditError
from prime_audit.study.runner import run_study
from tests.support import write_study


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
