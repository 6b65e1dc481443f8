"""A small study through the real command line: its run directory, its exit codes, its interruption."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from prime_audit import load_results
from prime_audit.core import sole_writer
from prime_audit.results import Metric
from tests.support import environment, file_size_limit, run_cli, user, write_study, write_users

FILES = {
    *("config.resolved.yaml", "journal.jsonl", "manifest.json", "results.json"),
    *("report.html", "summary.md", "junit.xml"),
}
UTILITY = {"metric": "utility.primary", "method": "uniform"}
LEAK = {"metric": "mia.auc", "method": "uniform", "attack": "loss"}
RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra prime-audit[ray]")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run of the small study; tests may run the study again."""
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", write_study(home), home=home)
    assert finished.code == 0, finished.stderr
    assert finished.stdout == ""
    assert re.search(r"^\d+ units of work$", finished.stderr, re.MULTILINE)
    assert "FutureWarning" not in finished.stderr
    return home


def test_the_run_directory_is_whole_and_private(home: Path) -> None:
    run = home / "reports" / "small"
    assert {path.name for path in run.iterdir()} >= {*FILES, "modules", "evidence"}
    assert (run.stat().st_mode & 0o777) == 0o700
    assert load_results(run).status == "complete"
    assert not list(run.rglob("*.tmp"))


def test_the_same_command_answers_from_the_finished_run(home: Path) -> None:
    results = home / "reports" / "small" / "results.json"
    before = results.read_bytes()
    manifest = json.loads(results.with_name("manifest.json").read_text())
    finished = run_cli("evaluate", home / "study.yaml", "--json", home=home)
    # Nothing was computed, so the run was still made when and as it was made.
    assert json.loads(results.with_name("manifest.json").read_text()) == manifest
    assert finished.code == 0
    assert finished.stdout.encode() == before == results.read_bytes()
    total = int(re.findall(r"(\d+) units of work", finished.stderr)[0])
    assert f"{total} finished units are reused" in finished.stderr


def test_quiet_prints_nothing(home: Path) -> None:
    finished = run_cli("--quiet", "evaluate", home / "study.yaml", home=home)
    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")


def test_report_writes_the_same_files_again(home: Path) -> None:
    run = home / "reports" / "small"
    before = {name: (run / name).read_bytes() for name in ("report.html", "summary.md", "junit.xml")}
    for name in before:
        (run / name).unlink()
    finished = run_cli("report", run, home=home)
    assert finished.code == 0
    assert {name: (run / name).read_bytes() for name in before} == before


def test_too_few_for_an_interval_says_how_many_are_needed(home: Path) -> None:
    metrics = load_results(home / "reports" / "small").metrics
    (utility,) = [
        m for m in metrics if (m.id, m.method) == ("utility.primary", "uniform") and m.target is None
    ]
    assert utility.ci is None
    assert "needs 6" in utility.reason
    aucs = [m for m in metrics if m.id == "mia.auc" and m.user is None and m.value is not None]
    assert aucs
    assert all(m.sharers_ci is None and "needs 6 sharers" in m.reason for m in aucs)
    (tpr,) = [
        m
        for m in metrics
        if (m.id, m.method, m.attack) == ("mia.tpr_at_fpr_0.01", "uniform", "loss") and m.slice is None
    ]
    assert tpr.value is None
    assert re.search(r"needs \d+ non-member", tpr.reason)


@pytest.mark.parametrize(
    ("rule", "options", "verdict", "code", "message"),
    [
        ({**LEAK, "max": 1.0}, (), "pass", 0, ""),
        ({**LEAK, "max": 0.01}, (), "fail", 3, "the gate failed: 1 of 1 rules broken: mia.auc"),
        ({**LEAK, "max": 0.01}, ("--no-fail",), "fail", 0, ""),
        ({**UTILITY, "min": -1.0}, (), "error", 4, "could not be judged.*no interval"),
        (
            {"metric": "mia.no-such", "max": 0.5},
            ("--no-fail",),
            "error",
            4,
            "could not be judged.*no such metric",
        ),
    ],
)
def test_the_gate_decides_the_exit_code(
    rule: dict[str, Any], options: tuple[str, ...], verdict: str, code: int, message: str, home: Path
) -> None:
    study = write_study(home, gate={"rules": [rule]})
    finished = run_cli("evaluate", study, *options, home=home)
    assert finished.code == code, finished.stderr
    assert re.search(message, finished.stderr)
    gate = json.loads((home / "reports" / "small" / "gate.json").read_text(encoding="utf-8"))
    assert gate["verdict"] == verdict


def test_without_rules_no_verdict_of_an_earlier_start_stays(home: Path) -> None:
    gate = home / "reports" / "small" / "gate.json"
    gate.write_text("{}", encoding="utf-8")
    assert run_cli("evaluate", write_study(home), home=home).code == 0
    assert not gate.exists()


def test_a_module_for_another_base_is_refused_with_both_shapes(home: Path) -> None:
    out = home / "reports" / "foreign"
    assert run_cli("evaluate", home / "study.yaml", "--seed", "8", "--out", out, home=home).code == 0
    entries = [json.loads(line) for line in (out / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    (key,) = [entry["key"] for entry in entries if entry["unit"] == "train/sharer-01"]
    path = home / "cache" / "modules" / key / "adapter_model.safetensors"
    tensors = load_file(path)
    wider = {name: t.repeat(2, axis=1) if "lora_A" in name else t for name, t in tensors.items()}
    save_file(wider, path)
    finished = run_cli("evaluate", home / "study.yaml", "--seed", "8", "--out", out, "--fresh", home=home)
    assert finished.code == 2, finished.stderr
    assert "for another base" in finished.stderr
    assert len(set(re.findall(r"\d+ x \d+", finished.stderr))) == 2
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("number", "code", "options"),
    [
        (signal.SIGINT, 130, ()),
        (signal.SIGTERM, 143, ()),
        (signal.SIGINT, 130, ("--workers", "2")),
        (signal.SIGTERM, 143, ("--workers", "2")),
        pytest.param(signal.SIGTERM, 143, ("--executor", "ray", "--workers", "1"), marks=RAY),
    ],
)
def test_a_stopped_run_keeps_what_was_finished(
    number: signal.Signals, code: int, options: tuple[str, ...], tmp_path: Path
) -> None:
    study = write_study(tmp_path, gate={"rules": [{**LEAK, "max": 1.0}]})
    journal = tmp_path / "reports" / "small" / "journal.jsonl"
    command = [sys.executable, "-m", "prime_audit", "evaluate", str(study), *options]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and so their children, ignore Ctrl-C unless it is set back.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[3/"):
                # A terminal sends it to the whole group; Ray's own processes end by that.
                (os.kill if "ray" in options else os.killpg)(process.pid, number)
                break
        rest = process.stderr.read()
    assert process.returncode == code
    assert "what was finished is kept" in rest
    kept = journal.read_text(encoding="utf-8").splitlines()
    assert len(kept) >= 3
    # The unit in progress was finished, and nothing can be taken for the results of a whole run.
    assert "stopping after the unit in progress" in rest
    assert "is tried again" not in rest
    stopped = load_results(tmp_path / "reports" / "small")
    assert (stopped.status, stopped.metrics) == ("cancelled", ())
    assert run_cli("check", tmp_path / "reports" / "small", home=tmp_path).code == 4
    compared = run_cli("compare", *[tmp_path / "reports" / "small"] * 2, home=tmp_path)
    assert (compared.code, compared.stdout) == (4, "")
    assert "was stopped before its end" in compared.stderr
    finished = run_cli("evaluate", study, *options, home=tmp_path)
    assert finished.code == 0
    assert f"{len(kept)} finished units are reused" in finished.stderr
    assert journal.read_text(encoding="utf-8").splitlines()[: len(kept)] == kept


def test_a_second_run_in_the_same_directory_is_refused(home: Path) -> None:
    run = home / "reports" / "small"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with sole_writer(run):
        finished = run_cli("evaluate", home / "study.yaml", "--fresh", home=home)
    assert finished.code == 2
    assert "another process is running in this directory" in finished.stderr
    before.pop(run / ".lock", None)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_full_disk_leaves_what_was_finished(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    # More than a module takes, and less than the journal of the whole study.
    with file_size_limit(30_000):
        full = run_cli("evaluate", study, home=tmp_path)
    assert full.code == 1, full.stderr
    assert re.search(r"\(\d+ bytes needed, \d+ bytes free on the disk\)", full.stderr)
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
    finished = run_cli("evaluate", study, home=tmp_path)
    assert finished.code == 0, finished.stderr


def test_another_runs_units_are_reused_but_for_what_a_changed_option_concerns(home: Path) -> None:
    own = {"permutations": 1000, "controls": ["base", "own-module"], "attacks": ["loss", "recall"]}
    study = write_study(home, audit={**own, "passes": {"shots": 2}})
    first = run_cli("evaluate", study, "--out", home / "one", home=home)
    assert first.code == 0, first.stderr
    write_study(home, audit={**own, "passes": {"shots": 3}})
    second = run_cli("evaluate", study, "--out", home / "two", "--reuse", home / "one", home=home)
    assert second.code == 0, second.stderr
    computed = re.findall(r"^\[\d+/\d+\] (\S+) ", second.stderr, re.MULTILINE)
    assert computed
    assert all(name.startswith("pass/") for name in computed)
    assert "finished units taken over from" in second.stderr
    before, after = (_aucs(load_results(home / name).metrics) for name in ("one", "two"))
    assert before["loss"] == after["loss"]
    # The other run is only read.
    assert load_results(home / "one").study.config_digest != load_results(home / "two").study.config_digest


def _aucs(metrics: Iterable[Metric]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for metric in metrics:
        if metric.id == "mia.auc" and metric.attack is not None:
            found.setdefault(metric.attack, []).append(metric.value)
    return found


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    written = []
    for name, seed in (("one", "5"), ("two", "5"), ("three", "6")):
        home = tmp_path / name
        home.mkdir()
        study = write_study(home, methods=["base", {"kind": "prime", "budget": 12}])
        assert run_cli("evaluate", study, "--seed", seed, "--out", home / "run", home=home).code == 0
        written.append((home / "run" / "results.json").read_bytes())
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_a_rating_task_runs_to_its_own_metrics(tmp_path: Path) -> None:
    people = [user(name) for name in ("s1", "s2", "s3", "s4")] + [user("t1", "target")]
    for number, person in enumerate(people):
        for item in (*person["history"], *person["queries"]):
            item["answer"] = str(1 + number % 5)
    path = write_users(tmp_path, *people)
    study = write_study(tmp_path, task="lamp-3", data={"path": str(path)})
    finished = run_cli("evaluate", study, home=tmp_path)
    assert finished.code == 0, finished.stderr
    found = {metric.id for metric in load_results(tmp_path / "reports" / "small").metrics}
    assert {"utility.primary", "utility.mae", "utility.rmse"} <= found
