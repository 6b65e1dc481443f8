"""`prime-audit attack` through the real command line: plain scores, without torch."""

import json
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prime_audit.results import Metric, Results, read_results
from tests.support import ROOT, Finished, environment, run_cli

# Runs the command with torch, transformers and peft out of reach.
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "peft"):
            raise ImportError(f"{name} is out of reach")
        return None

sys.meta_path.insert(0, Blocked())
from prime_audit.cli.app import main
main(sys.argv[1:])
"""
WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("aro", "elin", "iko", "oma", "ust")]


def without_torch(home: Path, *args: str | Path) -> Finished:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, args)],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def scores_file(home: Path, members: Sequence[float], others: Sequence[float]) -> Path:
    rows = [f"m{i},1,{value}" for i, value in enumerate(members)]
    rows += [f"n{i},0,{value}" for i, value in enumerate(others)]
    path = home / "scores.csv"
    path.write_text("\n".join(["id,member,score", *rows]) + "\n", encoding="utf-8")
    return path


def figure(
    results: Results, name: str = "mia.auc", attack: str | None = None, method: str = "model"
) -> Metric:
    attack = attack or results.study.primary
    (found,) = (
        m for m in results.metrics if (m.id, m.attack, m.method, m.user) == (name, attack, method, None)
    )
    return found


def test_known_answers_with_torch_out_of_reach(tmp_path: Path) -> None:
    done = without_torch(
        tmp_path,
        "attack",
        "--scores",
        scores_file(tmp_path, [1, 1, 0], [1, 0, 0]),
        "--direction",
        "higher",
        "--json",
    )
    assert done.code == 0, done.stderr
    results = Results.model_validate_json(done.stdout)
    auc = figure(results)
    assert auc.value == pytest.approx(2 / 3)
    assert auc.ci is None
    assert "needs 5 members and 5 non-members, has 3 and 3" in auc.reason
    (finding,) = results.findings
    assert finding.verdict == "inconclusive"
    assert "scores alone cannot tell a leak" in finding.reason
    written = {path.name for path in (tmp_path / "reports" / "attack").iterdir()}
    assert written == {"results.json", "manifest.json", "report.html", "summary.md", "junit.xml"}
    assert stat.S_IMODE((tmp_path / "reports" / "attack").stat().st_mode) == 0o700


def test_a_bigger_file_agrees_with_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    # Rounded, so that there are ties.
    members, others = rng.normal(0.7, 1, 400).round(1), rng.normal(0, 1, 350).round(1)
    path = scores_file(tmp_path, members.tolist(), others.tolist())
    found = {}
    for direction in ("higher", "lower"):
        out = tmp_path / direction
        done = without_torch(tmp_path, "attack", "--scores", path, "--direction", direction, "--out", out)
        assert done.code == 0, done.stderr
        found[direction] = read_results(out / "results.json")
    labels = np.r_[np.ones(400), np.zeros(350)]
    expected = roc_auc_score(labels, np.r_[members, others])
    assert figure(found["higher"]).value == pytest.approx(expected, abs=1e-9)
    assert figure(found["higher"], "mia.auc_pooled").value == pytest.approx(expected, abs=1e-9)
    assert figure(found["lower"]).value == pytest.approx(1 - expected, abs=1e-9)
    ci = figure(found["higher"]).ci
    assert ci is not None
    assert ci.low < expected < ci.high
    # The largest attainable rate of true positives with at most 1 % false ones.
    cut = sorted(others)[-4]
    assert figure(found["higher"], "mia.tpr_at_fpr_0.01").value == pytest.approx(
        (members > cut).mean(), abs=0.02
    )


def token_records(count: int, gain: float, *, base: bool = True, text: bool = True) -> list[dict[str, Any]]:
    rng = np.random.default_rng(11)
    records = []
    for number in range(count):
        length, member = int(rng.integers(5, 20)), number % 2 == 0
        plain = -rng.exponential(2.5, length) - gain
        target = plain + gain * member + rng.normal(0, 0.05, length) - 0.2
        record: dict[str, Any] = {"id": f"r{number}", "user": f"u{number // 2 % 8}", "member": member}
        record |= {"logp": np.minimum(target, 0).tolist()}
        record |= {"base_logp": plain.tolist()} if base else {}
        record |= {"text": " ".join(rng.choice(WORDS, length))} if text else {}
        records.append(record)
    return records


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_log_probabilities_run_every_attack_whose_needs_are_met(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "tokens.jsonl", token_records(160, gain=0.4))
    done = without_torch(tmp_path, "attack", "--scores", path)
    assert done.code == 0, done.stderr
    results = read_results(tmp_path / "reports" / "attack" / "results.json")
    run = set(results.coverage.run)
    assert {f"model/{name}" for name in ("loss", "loss-sum", "zlib", "min-k", "reference", "ratio")} <= run
    assert {"control-base/loss", "control-blind/blind"} <= run
    assert "control-base/reference" not in run
    skipped = {gap.id: gap.reason for gap in results.coverage.skipped}
    assert skipped["model/min-k++"].startswith("give --base with --members and --nonmembers")
    assert skipped["model/ez"] == skipped["model/min-k++"]
    assert skipped["model/lira"].startswith("only in a study")
    assert results.study.primary == "reference"
    assert figure(results).value == pytest.approx(1, abs=0.02)
    by_method = {finding.method: finding.verdict for finding in results.findings}
    assert by_method["model"] == "difference"
    assert "leak" not in by_method.values()
    above = figure(results, "mia.auc_above_blind")
    assert above.ci is not None
    assert above.ci.low > 0
    page = (tmp_path / "reports" / "attack" / "report.html").read_text(encoding="utf-8")
    assert "Attacks side by side" in page
    assert "Utility" not in page
    assert WORDS[0] not in page


def test_fewer_columns_run_fewer_attacks_and_no_learning_finds_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "tokens.jsonl", token_records(160, gain=0.0, base=False))
    done = without_torch(tmp_path, "attack", "--scores", path, "--randomised")
    assert done.code == 0, done.stderr
    results = read_results(tmp_path / "reports" / "attack" / "results.json")
    assert results.study.primary == "loss"
    skipped = {gap.id: gap.reason for gap in results.coverage.skipped}
    assert skipped["model/reference"].startswith("give the column base_logp")
    assert {f.method: f.verdict for f in results.findings} == {
        "model": "none detected",
        "control-blind": "none detected",
    }


def test_equal_input_gives_equal_results_and_replaces_an_earlier_attack(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "tokens.jsonl", token_records(60, gain=0.4))
    files = []
    for _ in range(2):
        assert without_torch(tmp_path, "attack", "--scores", path).code == 0
        files.append((tmp_path / "reports" / "attack" / "results.json").read_bytes())
    assert files[0] == files[1]


def test_the_command_in_the_report_can_be_typed(tmp_path: Path) -> None:
    scores_file(tmp_path, [1, 1, 0], [1, 0, 0])
    words = ("attack", "--scores", "scores.csv", "--direction", "higher")
    assert run_cli(*words, home=tmp_path).code == 0
    manifest = json.loads((tmp_path / "reports" / "attack" / "manifest.json").read_text())
    assert manifest["command"] == "prime-audit attack --scores scores.csv --direction higher"
    page = (tmp_path / "reports" / "attack" / "report.html").read_text(encoding="utf-8")
    assert "__main__" not in page


def test_help_fits_a_narrow_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prime_audit", "attack", "--help"],
        cwd=ROOT,
        env={**environment(tmp_path), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "never guessed" in done.stdout
