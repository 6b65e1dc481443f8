"""The room that a run needs is estimated from above, and not by far too much."""

import shutil
from pathlib import Path

import pytest

from prime_audit.errors import NoSpaceError
from prime_audit.study.disk import check_room, estimate
from prime_audit.study.executor import InProcess
from prime_audit.study.journal import Journal
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.schedule import run_units
from tests.study.test_executors import opened


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_estimate_holds_what_is_written(tmp_path: Path) -> None:
    bench, units = opened(tmp_path)
    stored, written = estimate(bench, units)
    executor = InProcess(bench.seeds, bench.batching)
    run_units(units, Journal(tmp_path / "run" / "journal.jsonl"), NO_PROGRESS, executor)
    for folder, estimated in ((tmp_path / "store", stored), (tmp_path / "run", written)):
        assert size(folder) <= estimated <= 20 * size(folder)


def test_a_disk_that_is_too_small_is_named_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, units = opened(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(NoSpaceError, match=r"needs about \d+ bytes there, and 1000 bytes are free"):
        check_room(bench, units)
    check_room(bench, [])
