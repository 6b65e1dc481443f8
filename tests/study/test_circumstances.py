"""Units that were made with other threads or packages are counted and told of."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from prime_audit.config import StudyConfig, load_study
from prime_audit.core import read_json
from prime_audit.results import read_results
from prime_audit.study import runner
from prime_audit.study.circumstances import circumstances, in_words, made_otherwise
from prime_audit.study.runner import run_study
from prime_audit.study.stopping import Stopping
from tests.support import Notes, write_study

HERE: dict[str, Any] = {"threads": 2, "packages": {"numpy": "2.1", "scipy": "1.9"}}


def line(threads: int, **packages: str) -> dict[str, Any]:
    return {"made": {"threads": threads, "packages": HERE["packages"] | packages}}


def test_units_are_counted_by_what_they_were_made_with() -> None:
    entries = [line(2), line(1), line(1), line(2, numpy="2.0"), {"made": None}, {}]
    found = made_otherwise(entries, HERE)
    assert found == [
        {"threads": 1, "packages": {}, "units": 2},
        {"threads": 2, "packages": {"numpy": "2.0"}, "units": 1},
        {"threads": None, "packages": {}, "units": 2},
    ]
    words = in_words(found, HERE)
    assert [sentence.partition(":")[0] for sentence in words] == [
        "2 units made with 1 thread (now 2)",
        "1 unit made with numpy 2.0 (now 2.1)",
    ]


def test_what_is_made_here_is_not_made_otherwise() -> None:
    assert made_otherwise([{"made": circumstances()}], circumstances()) == []


def study(home: Path, threads: int) -> StudyConfig:
    return load_study(
        write_study(
            home,
            data={"sharers": 3, "targets": 1},
            methods=["base", "uniform"],
            run={"threads_per_worker": threads},
        )
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def manifest(out: Path) -> dict[str, Any]:
    found = read_json(out / "manifest.json")
    assert isinstance(found, dict)
    return found


def test_modules_and_units_of_other_threads_are_told_of(home: Path) -> None:
    mine = torch.get_num_threads()
    run_study(study(home, 1), home / "one")
    assert torch.get_num_threads() == mine
    assert manifest(home / "one")["made_otherwise"] == []
    # Another run takes the trained modules from the store.
    heard = Notes()
    run_study(study(home, 2), home / "two", progress=heard)
    modules = [{"threads": 1, "packages": {}, "units": 4}]
    assert manifest(home / "two")["made_otherwise"] == modules
    assert sum("4 units made with 1 thread (now 2)" in note for note in heard.notes) == 1
    # The same run with other threads goes on with what is finished.
    kept = (home / "one" / "results.json").read_bytes()
    (home / "one" / "evidence" / "scores.json").unlink()
    next((home / "one" / "evidence").glob("score.uniform.*")).unlink()
    heard = Notes()
    run_study(study(home, 2), home / "one", progress=heard)
    finished = manifest(home / "one")["made_otherwise"]
    assert [(other["threads"], other["packages"]) for other in finished] == [(1, {})]
    assert sum(f"{finished[0]['units']} units made with 1 thread" in note for note in heard.notes) == 1
    assert len((home / "one" / "results.json").read_bytes()) > len(kept) // 2


def test_a_start_that_computes_nothing_changes_nothing_of_how_a_run_was_made(home: Path) -> None:
    run_study(study(home, 1), home / "run")
    before = manifest(home / "run")
    heard = Notes()
    run_study(study(home, 2), home / "run", progress=heard)
    after = manifest(home / "run")
    assert {k: v for k, v in after.items() if k != "study"} == {
        k: v for k, v in before.items() if k != "study"
    }
    assert after["threads_per_worker"] == 1
    assert not [note for note in heard.notes if "made with" in note]


def test_a_signal_while_the_results_are_put_together_leaves_a_cancelled_run_that_continues(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(runner, "assemble", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(study(home, 1), home / "run")
    assert read_results(home / "run" / "results.json").status == "cancelled"
    journal = (home / "run" / "journal.jsonl").read_bytes()
    assert run_study(study(home, 1), home / "run").status == "complete"
    assert (home / "run" / "journal.jsonl").read_bytes() == journal


def test_a_second_signal_is_nobodys_to_hold_up() -> None:
    heard = Notes()
    with Stopping(heard) as stopping:
        signal.raise_signal(signal.SIGINT)
        assert stopping() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert heard.notes == ["stopping after the unit in progress; once more stops at once"]
