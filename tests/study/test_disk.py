"""The room that a run needs is estimated from above, and not by far too much."""

import shutil
from pathlib import Path

import pytest

from prime_audit.config import load_study
from prime_audit.errors import NoSpaceError
from prime_audit.study.disk import UNIT_BYTES, Room, check_room, estimate
from prime_audit.study.executor import InProcess
from prime_audit.study.inputs import load_dataset
from prime_audit.study.journal import Journal
from prime_audit.study.opening import open_study
from prime_audit.study.plan import describe_room
from prime_audit.study.planner import IN_STORE
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.schedule import run_units
from tests.study.test_executors import opened
from tests.support import write_study


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_estimate_holds_what_is_written(tmp_path: Path) -> None:
    bench, units = opened(tmp_path)
    room = estimate(bench, units, bench.pretrained.model)
    executor = InProcess(bench.seeds, bench.batching)
    run_units(units, Journal(tmp_path / "run" / "journal.jsonl"), NO_PROGRESS, executor)
    for folder, estimated in ((tmp_path / "store", room.stored), (tmp_path / "run", room.written)):
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


def test_what_is_removed_first_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, units = opened(tmp_path)
    room = estimate(bench, units, bench.pretrained.model)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    check_room(bench, units, freed=room.stored + room.written)


def test_a_module_in_the_store_takes_no_more_room(tmp_path: Path) -> None:
    bench, units = opened(tmp_path)
    stored = [unit for unit in units if unit.stage in IN_STORE]
    before = estimate(bench, units, bench.pretrained.model)
    assert stored[0].artefact is not None
    stored[0].artefact.mkdir()
    after = estimate(bench, units, bench.pretrained.model)
    assert after.written == before.written
    assert before.stored - after.stored == pytest.approx(before.stored / len(stored))


def test_a_worker_leaves_the_store_to_the_run_that_it_works_for(tmp_path: Path) -> None:
    config = load_study(write_study(tmp_path))
    open_study(config, load_dataset(config), tmp_path / "store", tmp_path / "run", worker=True)
    assert not (tmp_path / "store").exists()


def test_modules_that_a_method_trains_are_counted_with_their_own_rank(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    methods = ["base", {"kind": "oppu", "rank": 6}, {"kind": "oppu", "id": "small", "rank": 3}]
    path = write_study(tmp_path, methods=methods, data={"sharers": 3, "targets": 1}, training={"rank": 2})
    config = load_study(path)
    bench, units = open_study(config, load_dataset(config), tmp_path / "store", tmp_path / "run")
    first, second = (
        estimate(
            bench, [unit for unit in units if unit.name.startswith(f"own/{method}/")], bench.pretrained.model
        )
        for method in ("oppu", "small")
    )
    assert first.stored - UNIT_BYTES == 2 * (second.stored - UNIT_BYTES) > 0


def test_the_room_of_a_plan_is_that_of_a_run_that_has_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, units = opened(tmp_path)
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "store"))
    assert describe_room(bench.config) == estimate(bench, units, bench.pretrained.model)


def test_room_is_put_in_words() -> None:
    words = "at most 1.2 MB in the run directory and 34.0 MB in the store of modules"
    assert str(Room(stored=34_000_000, written=1_234_567)) == words
