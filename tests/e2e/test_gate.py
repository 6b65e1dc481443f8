"""The gate as a build uses it: a run, a baseline, and everything that must not pass."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prime_audit.gate import load_run
from tests.support import Finished, run_cli, write_study

RULES = """\
- {metric: mia.auc, method: uniform, attack: reference, max_increase: 0.03, primary: true}
- {metric: mia.auc, method: uniform, attack: loss, max_increase: 0.03}
"""
Break = Callable[[Path], None]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its baseline and its rules."""
    folder = tmp_path_factory.mktemp("gate")
    done = run_cli("evaluate", write_study(folder), "--out", "run", home=folder)
    assert done.code == 0, done.stderr
    (folder / "rules.yaml").write_text(RULES)
    made = run_cli(
        "baseline",
        "update",
        "run",
        "--to",
        "base.json",
        "--reason",
        "first",
        "--rules",
        "rules.yaml",
        home=folder,
    )
    assert made.code == 0, made.stderr
    return folder


def check(home: Path, *more: str) -> Finished:
    return run_cli("check", "run", "--baseline", "base.json", "--rules", "rules.yaml", *more, home=home)


def test_the_same_run_passes_and_gives_the_same_bytes(home: Path) -> None:
    first = check(home, "--json")
    assert first.code == 0, first.stderr
    assert json.loads(first.stdout)["verdict"] == "pass"
    names = ("gate.json", "summary.md", "junit.xml", "report.html")
    written = [(home / "run" / name).read_bytes() for name in names]
    assert check(home, "--json") == first
    assert [(home / "run" / name).read_bytes() for name in names] == written
    assert b"Compared with a baseline" in written[1]


def test_a_baseline_holds_no_path_no_version_and_no_text(home: Path) -> None:
    text = (home / "base.json").read_text()
    assert str(home) not in text
    assert not [word for word in ('version": "', "torch", "headline", "-h01", "started") if word in text]


def test_an_option_that_is_off_makes_no_other_study_and_one_that_is_on_does(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text())
    kept = load_run(home / "run").identity
    for value, same in ((None, True), ("on", False)):
        document["study"]["model"]["invented"] = value
        manifest.write_text(json.dumps(document))
        assert (load_run(tmp_path / "run").identity == kept) is same


def test_the_summary_page_of_a_build_is_added_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = home / "page.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert check(home).code == 0
    assert page.read_text().startswith("before\n## ")


def test_two_runs_stand_side_by_side_in_80_columns(home: Path) -> None:
    done = run_cli("compare", "run", "run", home=home)
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("mia.auc uniform reference" in line and "+0.000" in line for line in lines)
    rows = json.loads(run_cli("compare", "run", "run", "--json", home=home).stdout)["rows"]
    # An AUC that a run does not give has no difference.
    assert {row["difference"] for row in rows if row["metric"] == "mia.auc" and row["a"] is not None} == {0.0}


def _edit(name: str, old: str, new: str) -> Break:
    def change(run: Path) -> None:
        path = run / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def _cut(run: Path) -> None:
    path = run / "evidence" / "scores.json"
    path.write_text(path.read_text()[:-40])


def _lose(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    results["metrics"] = [m for m in results["metrics"] if m["attack"] != "reference"]
    (run / "results.json").write_text(json.dumps(results))


def _shorten(run: Path) -> None:
    path = run / "evidence" / "scores.json"
    scores = json.loads(path.read_text())
    for user in scores["users"].values():
        user["records"].pop()
        user["member"].pop()
    for rows in (rows for one in scores["sets"] for rows in one["users"]):
        for row in rows["scores"]:
            row.pop()
    path.write_text(json.dumps(scores))


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (_lose, 4),
        (_shorten, 4),
        (_cut, 2),
        (_edit("evidence/scores.json", '"scores": [\n', '"scores": [NaN,\n'), 2),
        (_edit("results.json", '"schema_version": 1', '"schema_version": 2'), 2),
        (_edit("evidence/scores.json", '"schema_version": 1', '"schema_version": 2'), 2),
        (_edit("results.json", '"status": "complete"', '"status": "incomplete"'), 4),
        (_edit("manifest.json", '"data_digest": "', '"data_digest": "0'), 4),
        (lambda run: (run / "evidence" / "scores.json").unlink(), 4),
        (lambda run: (run / "manifest.json").unlink(), 2),
        # Its journal says that there is a run, which has no results (yet).
        (lambda run: (run / "results.json").unlink(), 4),
    ],
)
def test_a_broken_run_never_passes(home: Path, tmp_path: Path, broken: Break, code: int) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    for name in ("base.json", "rules.yaml"):
        shutil.copy(home / name, tmp_path / name)
    broken(tmp_path / "run")
    done = check(tmp_path)
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("", "a rules file is a list of rules"),
        ("- {metric: mia.auc, max_incraese: 0.1}", "max_increase"),
        ("- {metric: mia.auc, primary: true, max: 0.9}", "can be 'primary'"),
        ("- {metric: mia.auc, max_increase: -0.1}", "max_increase"),
        (
            "- {metric: a, max_increase: 0, primary: true}\n- {metric: b, max_increase: 0, primary: true}",
            "primary",
        ),
    ],
)
def test_bad_rules_are_named(home: Path, rules: str, words: str) -> None:
    (home / "bad.yaml").write_text(rules)
    done = run_cli("check", "run", "--rules", "bad.yaml", home=home)
    assert done.code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
