"""What another run or start has finished is taken over, and what was overwritten since is not."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prime_audit.core import Seeds
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import Batching
from prime_audit.modules import LoraModule, write_module
from prime_audit.study.executor import InProcess
from prime_audit.study.journal import Journal
from prime_audit.study.progress import NO_PROGRESS
from prime_audit.study.reuse import open_earlier, take_over
from prime_audit.study.schedule import finished, run_units
from prime_audit.study.units import Output, Outputs, Unit


def test_a_directory_without_a_run_cannot_be_reused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no run to reuse"):
        open_earlier(tmp_path / "nowhere", tmp_path, fresh=False)


def test_a_unit_whose_file_is_gone_is_not_taken_over(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "evidence").mkdir(parents=True)
    for name in ("there", "gone"):
        entry: dict[str, Any] = {"key": name, "unit": name, "seconds": 1.0, "output": {}}
        Journal(one / "journal.jsonl").append(entry)
    (one / "evidence" / "there").write_text("scores")
    plan = [Unit(n, n, n, lambda outputs: {}, two / "evidence" / n) for n in ("there", "gone", "new")]
    journal = Journal(two / "journal.jsonl")
    assert take_over(plan, journal, two, one, open_earlier(one, two, fresh=True)) == 1
    assert [finished(unit, journal) for unit in plan] == [True, False, False]
    assert (two / "evidence" / "there").read_text() == "scores"


def test_a_run_that_is_about_to_be_removed_is_not_reused(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.jsonl").append({"key": "k", "unit": "u", "seconds": 1.0, "output": {}})
    (tmp_path.parent / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="--fresh would remove the run that --reuse names"):
        open_earlier(tmp_path.parent / "link", tmp_path, fresh=True)
    assert open_earlier(tmp_path, tmp_path, fresh=False).get("k") is not None


def module_of(run: Path, key: str) -> Unit:
    """A unit whose artefact lies under its name alone, as adapters do; it writes its key into it."""
    path = run / "modules" / "prime" / "t1"

    def deploy(outputs: Outputs) -> Output:
        path.parent.mkdir(parents=True, exist_ok=True)
        module = adapter_of(key)
        write_module(module, path, "tiny")
        (path / "adapter").write_text(key)
        return {"adapter": module.digest}

    return Unit("deploy/prime/t1", "deploy", key, deploy, path)


def adapter_of(key: str) -> LoraModule:
    factors = {"model.layers.0.self_attn.q_proj": (torch.full((1, 3), float(ord(key))), torch.ones(4, 1))}
    return LoraModule(rank=1, alpha=1.0, rslora=False, factors=factors, origin=key)


def carry_out(run: Path, key: str) -> str:
    """Runs the unit in a run directory if it is not finished; returns what lies there afterwards."""
    executor = InProcess(Seeds(1), Batching())
    run_units([module_of(run, key)], Journal(run / "journal.jsonl"), NO_PROGRESS, executor)
    return (run / "modules" / "prime" / "t1" / "adapter").read_text()


def test_what_another_start_has_overwritten_counts_as_finished_no_more(tmp_path: Path) -> None:
    assert [carry_out(tmp_path, key) for key in ("a", "b", "a", "a")] == ["a", "b", "a", "a"]
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert sum('"output"' in line for line in lines) == 3


def test_what_a_killed_start_has_overwritten_counts_as_finished_no_more(tmp_path: Path) -> None:
    carry_out(tmp_path, "a")
    killed = module_of(tmp_path, "b")

    def overwrite_and_die(outputs: Outputs) -> Output:
        killed.run(outputs)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_units(
            [replace(killed, run=overwrite_and_die)],
            Journal(tmp_path / "journal.jsonl"),
            NO_PROGRESS,
            InProcess(Seeds(1), Batching()),
        )
    assert carry_out(tmp_path, "a") == "a"


def test_what_was_overwritten_is_not_taken_over(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for run in (one, two):
        run.mkdir()
    carry_out(one, "a")
    carry_out(one, "b")
    journal = Journal(two / "journal.jsonl")
    for key, taken in (("a", 0), ("b", 1)):
        assert (
            take_over([module_of(two, key)], journal, two, one, open_earlier(one, two, fresh=False)) == taken
        )
    # What lies here under the same name does not stand in for a file that is gone there.
    shutil.rmtree(one / "modules")
    carry_out(two, "c")
    assert take_over([module_of(two, "b")], journal, two, one, open_earlier(one, two, fresh=False)) == 0


def test_an_adapter_that_is_not_the_journals_is_not_taken_over(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for run in (one, two):
        run.mkdir()
    carry_out(one, "a")
    there = open_earlier(one, two, fresh=False)
    # A run that goes on there has made another one in its place, after the journal was read.
    write_module(adapter_of("b"), one / "modules" / "prime" / "t1", "tiny")
    journal = Journal(two / "journal.jsonl")
    assert take_over([module_of(two, "a")], journal, two, one, there) == 0
    assert journal.get("a") is None
    write_module(adapter_of("a"), one / "modules" / "prime" / "t1", "tiny")
    assert take_over([module_of(two, "a")], journal, two, one, there) == 1
