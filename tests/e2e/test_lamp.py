"""Every LaMP task runs the whole evaluation, and the data commands do what a user would ask of them."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from prime_audit import evaluate, load_results, load_study
from prime_audit.cli.app import main
from prime_audit.cli.terminal import Terminal
from prime_audit.data import FORMS
from tests.lamp_files import questions, write_lamp, write_per_pcs, write_split
from tests.loopback import serve_task, serving
from tests.support import Finished, user, write_study, write_users

KINDS = {
    **dict.fromkeys(("lamp-1", "lamp-2", "lamp-2n"), "choice"),
    "lamp-3": "number",
    **dict.fromkeys(("lamp-4", "lamp-5", "lamp-6", "lamp-7"), "text"),
}
RAW = {"choice": ("accuracy", "f1"), "number": ("mae", "rmse"), "text": ("rouge_1", "rouge_l")}

Run = Callable[..., Finished]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line within this process, which has imported torch already."""
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def command(*words: str | Path) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        told = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Finished(stop.value.code, told.out, told.err)

    return command


def study_of(folder: Path, task: str, data: Path, **sections: object) -> Path:
    layout = {"path": str(data), "max_input_words": 20, "sharers": 3}
    return write_study(folder, task=task, data=layout, **sections)


@pytest.mark.parametrize("task", sorted(FORMS))
def test_a_task_is_evaluated_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    data = write_per_pcs(tmp_path / "data", task, targets=2, sharers=3, items=8)
    study = load_study(study_of(tmp_path, task, data), ["report.include_samples=true"])
    results = evaluate(study, tmp_path / "run")
    assert (results.status, results.study.task) == ("complete", task)
    found = {(metric.id, metric.target) for metric in results.metrics if metric.method == "uniform"}
    assert {(f"utility.{name}", user) for name in RAW[KINDS[task]] for user in (None, "t0", "t1")} <= found
    assert ("mia.auc", None) in found
    predictions = json.loads((tmp_path / "run" / "predictions" / "uniform.json").read_text())
    assert predictions["task"] == FORMS[task].name
    golds = json.loads((data / "test_100" / "user_test_100_label.json").read_text())
    assert [entry["id"] for entry in predictions["golds"]] == [entry["id"] for entry in golds["golds"]]


@pytest.mark.parametrize("number", range(1, 8))
def test_the_bundled_studies_are_valid_with_the_files_of_their_task(
    tmp_path: Path, run: Run, number: int
) -> None:
    """Both sizes, with as many people as they ask for."""
    task = f"lamp-{number}"
    data = write_lamp(tmp_path / "lamp", task, targets=100, sharers=250, items=14)
    sizes = {task: "100 targets, 200 public users", f"{task}-small": "12 sharers, 6 targets, 20 public users"}
    for study, people in sizes.items():
        checked = run("validate", study, "--data", data)
        assert checked.code == 0, checked.stderr
        assert f"{study} is valid" in checked.stdout
        assert people in checked.stdout


@pytest.mark.parametrize(
    ("kind", "answers"),
    [("choice", ["glad", "sad"]), ("number", ["0", "5", "10"]), ("text", ["a fine day", "a bad one"])],
)
def test_a_task_of_ones_own_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, answers: list[str]
) -> None:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    labels = f"labels: {json.dumps(answers)}\n" if kind != "text" else ""
    words = "instruction: Say how this {post} reads.\ninput_name: post\nanswer_name: mood\n"
    (tmp_path / "mood.yaml").write_text(f"id: mood\nkind: {kind}\n{words}{labels}")
    people = [user(name, "target" if name[0] == "t" else "sharer", records=8) for name in ("t0", "s0", "s1")]
    for one in people:
        for number, item in enumerate((*one["history"], *one["queries"])):
            item["answer"] = answers[number % len(answers)]
    write_users(tmp_path, *people)
    data = {"path": str(tmp_path), "sharers": 2, "targets": 1}
    study = load_study(write_study(tmp_path, task="mood.yaml", data=data))
    results = evaluate(study, tmp_path / "run")
    assert (results.status, results.study.task) == ("complete", "mood")
    found = {metric.id for metric in results.metrics if metric.method == "uniform"}
    assert {"mia.auc", *(f"utility.{name}" for name in RAW[kind])} <= found


def test_methods_that_merge_are_refused_by_name_without_sharers(tmp_path: Path, run: Run) -> None:
    data = write_lamp(tmp_path / "lamp", "lamp-3", sharers=0, items=8)
    study = write_study(tmp_path, task="lamp-3", data={"path": str(data)})
    refused = run("validate", study)
    assert refused.code == 2
    assert "methods uniform merge sharers' modules, and the data hold no sharer" in refused.stderr
    assert "--sharers" in refused.stderr
    sharers = write_split(tmp_path / "x", "more", "lamp-3", questions("lamp-3", ["s1", "s2", "s3"], 8))
    accepted = run("validate", study, "--sharers", sharers)
    assert accepted.code == 0, accepted.stderr
    assert "3 sharers, 2 targets" in accepted.stdout
    alone = run("validate", study, "--set", "methods=[base, rag]")
    assert alone.code == 0, alone.stderr
    elsewhere = run("validate", "quickstart", "--sharers", sharers)
    assert elsewhere.code == 2
    assert "needs 'path' (--data)" in elsewhere.stderr


def test_answers_are_kept_only_when_asked_and_score_as_in_the_results(tmp_path: Path, run: Run) -> None:
    data = write_lamp(tmp_path / "lamp", "lamp-3", targets=2, sharers=3, items=8)
    study = study_of(tmp_path, "lamp-3", data, methods=["base"], audit={"permutations": 1000, "controls": []})
    first = run("evaluate", study, "--out", "run")
    assert first.code == 0, first.stderr
    out = tmp_path / "run"
    assert not (out / "predictions").exists()
    before = (out / "results.json").read_bytes()
    # The same run goes on: only what answered is asked again, and no figure changes.
    second = run("evaluate", study, "--out", "run", "--include-samples")
    assert second.code == 0, second.stderr
    assert (out / "results.json").read_bytes() == before
    kept = out / "predictions" / "base.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    golds = data / "dev_outputs.json"
    scored = run("data", "score", kept, "--golds", golds, "--data", data, "--json")
    assert scored.code == 0, scored.stderr
    found = json.loads(scored.stdout)
    metrics = {(m.id, m.target): m.value for m in load_results(out).metrics}
    for name in ("mae", "rmse"):
        assert metrics[f"utility.{name}", None] == pytest.approx(found["metrics"][name])
        for target in ("t0", "t1"):
            assert metrics[f"utility.{name}", target] == pytest.approx(found["users"][target][name])


def test_convert_validate_and_describe(tmp_path: Path, run: Run) -> None:
    lamp = write_lamp(tmp_path / "lamp", "lamp-5")
    checked = run("data", "validate", lamp)
    assert checked.code == 0, checked.stderr
    assert "is valid: task lamp-5, 2 targets, 3 sharers, 30 past items, 7 questions" in checked.stdout
    for layout in ("per-pcs", "users"):
        made = run("data", "convert", lamp, "--to", layout, "--out", tmp_path / layout)
        assert made.code == 0, made.stderr
    described = [
        json.loads(run("data", "describe", tmp_path / name, *task, "--json").stdout)
        for name, task in (("lamp", ()), ("per-pcs", ()), ("users", ("--task", "lamp-5")))
    ]
    layouts = [one.pop("layout") for one in described]
    assert layouts == ["lamp", "per-pcs", "users"]
    assert [one["targets"] for one in described] == [described[0]["targets"]] * 3
    text = run("data", "describe", lamp).stdout
    assert "targets  2 users, 4 queries, 12 past items" in text
    unnamed = run("data", "describe", tmp_path / "users")
    assert (unnamed.code, "give --task" in unnamed.stderr) == (2, True)


def test_validate_lists_all_faults_with_their_places(tmp_path: Path, run: Run) -> None:
    lamp = write_lamp(tmp_path / "lamp", "lamp-3")
    asked = json.loads((lamp / "dev_questions.json").read_text())
    del asked[0]["profile"]
    asked[1]["input"] = "no marker"
    (lamp / "dev_questions.json").write_text(json.dumps(asked))
    checked = run("data", "validate", lamp)
    assert checked.code == 2
    assert "2 faults" in checked.stderr
    assert "dev_questions.json[0].profile: missing" in checked.stderr
    assert "dev_questions.json[1].input: the marker 'review:' is missing" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_fetch_asks_for_the_licence_first_and_reaches_nobody_before(tmp_path: Path, run: Run) -> None:
    nobody = "http://127.0.0.1:9/LaMP"
    words = ("fetch", "lamp-3", "--split", "time", "--out", tmp_path / "x", "--host", nobody)
    asked = run("data", *words)
    assert asked.code == 2
    assert "CC BY-NC-SA 4.0" in asked.stderr
    assert "--accept-licence" in asked.stderr
    assert not (tmp_path / "x").exists()
    refused = run("data", "fetch", "lamp-6", "--out", tmp_path / "x")
    assert (refused.code, "Avocado" in refused.stderr) == (2, True)
    failed = run("data", *words, "--accept-licence")
    assert (failed.code, "no connection" in failed.stderr) == (2, True)
    assert "CC BY-NC-SA" not in run("data", *words).stderr


def test_fetch_shows_the_licence_once_and_says_what_arrived(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("data", "fetch", "lamp-3", "--out", tmp_path / "x", "--host")
    monkeypatch.setattr(Terminal, "can_ask", True)
    with serving() as host:
        serve_task(host, "LaMP_3", tmp_path)
        monkeypatch.setattr("typer.confirm", lambda *args, **keys: False)
        declined = run(*words, host.url)
        assert (declined.code, "was not accepted" in declined.stderr) == (2, True)
        assert host.asked == []
        monkeypatch.setattr("typer.confirm", lambda *args, **keys: True)
        host.faults = [30]
        fetched = run(*words, host.url)
        assert fetched.code == 0, fetched.stderr
        assert (
            f"dev_questions.json: {len(host.files['/LaMP_3/dev/dev_questions.json'])} bytes" in fetched.stderr
        )
        assert "MB" not in fetched.stderr  # nothing here takes long enough to tell of
        assert f"next: prime-audit data describe {tmp_path / 'x'}" in fetched.stderr
        monkeypatch.delattr("typer.confirm")
        again = run(*words, host.url)
    assert again.code == 0, again.stderr
    assert "CC BY-NC-SA" not in again.stderr
    assert again.stderr.count("there already, unchanged") == 4
    assert run("data", "validate", tmp_path / "x").code == 0
