"""Bad input through the real command line: a clear message, the right exit code, and no work done."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prime_audit.bundled import TINY
from tests.support import Finished, run_cli, user, write_study, write_users

# Stands in for what a person wrote; no message may repeat it.
PRIVATE = "privatewords"
# Protocol 0 of pickle: calling this would leave a file behind.
PICKLE = b"cos\nsystem\n(S'touch pwned'\ntR."


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def refused(finished: Finished, *parts: str) -> None:
    """The command ended with 2 and one message that holds every part; nothing was computed or quoted."""
    assert finished.code == 2, finished.stderr
    assert finished.stdout == ""
    for part in parts:
        assert re.search(part, finished.stderr), f"{part!r} is not in:\n{finished.stderr}"
    assert "units of work" not in finished.stderr
    assert "Traceback" not in finished.stderr
    assert PRIVATE not in finished.stderr


def evaluate(home: Path, *args: str | Path, **sections: object) -> Finished:
    return run_cli("evaluate", write_study(home, **sections), *args, home=home)


def on_users(home: Path, *users: dict[str, Any], task: str = "lamp-4") -> Finished:
    """Evaluate a study of these users."""
    path = write_users(home, *users)
    return evaluate(home, data={"path": str(path)}, task=task)


def people() -> list[dict[str, Any]]:
    """Enough well-formed users for the small study."""
    return [user(name) for name in ("s1", "s2", "s3", "s4")] + [user("t1", "target")]


@pytest.mark.parametrize(
    ("sections", "parts"),
    [
        ({"methdos": ["base"]}, ["study.yaml", "unknown key 'methdos'", "did you mean 'methods'"]),
        ({"training": {"rnak": 2}}, ["unknown key 'training.rnak'", "'training.rank'"]),
        ({"training": {"rank": "eight"}}, ["training.rank", "integer", "eight"]),
        ({"methods": ["prme"]}, [r"methods\[0\]", "prme", "did you mean 'prime'"]),
        ({"audit": {"attacks": ["los"]}}, ["audit.attacks", "los", "loss"]),
        ({"audit": {"controls": ["placbo"]}}, ["audit.controls", "placbo", "placebo"]),
        ({"schema_version": 9}, ["schema_version", "9", "1"]),
        ({"task": "lamp-9"}, ["task", "lamp-9", "lamp-4"]),
        ({"seed": -1}, ["seed"]),
        ({"sharers": {"per_target": 9}}, ["sharers.per_target is 9", "4"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_study(sections: dict[str, object], parts: list[str], home: Path) -> None:
    refused(evaluate(home, **sections), *parts)


def test_every_fault_of_a_study_is_listed(home: Path) -> None:
    refused(
        evaluate(home, methdos=[], training={"rank": 0}, seed="x"),
        "3 faults",
        "methdos",
        "training.rank",
        "seed",
    )


def test_a_wrong_key_on_the_command_line(home: Path) -> None:
    refused(
        run_cli("evaluate", "--set", "trainin.rank=2", home=home), "--set", "trainin.rank", "training.rank"
    )
    refused(run_cli("evaluate", "--set", "training.rank", home=home), "--set", "training.rank", "=")


def test_a_study_that_is_not_there(home: Path) -> None:
    refused(run_cli("evaluate", "quickstrat", home=home), "quickstrat", "did you mean 'quickstart'")
    refused(run_cli("evaluate", "no/such.yaml", home=home), "no/such.yaml", "no such study")


def test_a_study_that_is_no_yaml(home: Path) -> None:
    path = home / "study.yaml"
    path.write_text("name: [a\ntask: b\n", encoding="utf-8")
    refused(run_cli("evaluate", path, home=home), r"study\.yaml.*line 2")


def test_data_that_are_not_there(home: Path) -> None:
    refused(evaluate(home, "--data", home / "nowhere"), "nowhere", "no such file or folder")
    refused(evaluate(home, data={"path": "nowhere/else"}), "nowhere/else", "no such file or folder")


def test_json_cut_off_in_the_middle(home: Path) -> None:
    path = write_users(home, *people(), user("s9", answer=PRIVATE))
    path.write_text(path.read_text(encoding="utf-8")[:-120], encoding="utf-8")
    refused(evaluate(home, "--data", path), r"users\.jsonl: line 6, column \d+", "ends too early")


def test_per_pcs_json_cut_off_in_the_middle(home: Path) -> None:
    folder = home / "per-pcs"
    (folder / "test_100").mkdir(parents=True)
    good = [{"user_id": "1", "profile": [{"id": "1", "text": PRIVATE, "title": "t"}]}]
    (folder / "user_anchor_candidate.json").write_text(json.dumps(good)[:-20], encoding="utf-8")
    (folder / "test_100" / "user_test_100.json").write_text(json.dumps(good), encoding="utf-8")
    (folder / "test_100" / "user_test_100_label.json").write_text("[]", encoding="utf-8")
    refused(
        evaluate(home, "--data", folder), r"user_anchor_candidate\.json.*line 1, column", "ends too early"
    )


def test_every_broken_record_is_listed_with_its_place(home: Path) -> None:
    empty = {**user("s1"), "history": []}
    no_gold = user("t1", "target")
    del no_gold["queries"][0]["answer"]
    repeated = user("s2", answer=PRIVATE)
    repeated["history"][3]["id"] = repeated["history"][0]["id"]
    finished = on_users(home, empty, no_gold, repeated, user("s3"), user("s3"))
    refused(
        finished,
        r"4 faults",
        r"users\.jsonl:1: history: empty: a user needs a history",
        r"users\.jsonl:2: queries\[0\]\.answer: missing",
        r"users\.jsonl:3: history\[3\].*id 's2-0' is used before",
        r"users\.jsonl:5: user id 's3' is used before",
    )


def test_an_answer_outside_the_label_set(home: Path) -> None:
    users = [user(name, "target" if name == "t1" else "sharer", "comedy") for name in ("s1", "s2", "t1")]
    for entry in users:
        for item in entry["history"]:
            item["answer"] = "comedy"
    users[1]["history"][2]["answer"] = PRIVATE
    refused(
        on_users(home, *users, task="lamp-2"),
        r"users\.jsonl:2: history\[2\]\.answer: not one of the \d+ labels",
    )


def test_an_id_that_is_no_file_name(home: Path) -> None:
    refused(
        on_users(home, *people(), user("../../etc")),
        r"users\.jsonl:6: user: .*id '\.\./\.\./etc' is not usable",
    )


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    without_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(PICKLE)


def disguised(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(PICKLE)


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (without_weights, ["no model.safetensors"]),
        (pickled, ["pickled", "pytorch_model.bin", "convert"]),
        (disguised, ["cannot be loaded"]),
        (without_config, ["no config.json"]),
    ],
)
def test_a_model_folder_that_cannot_be_used(
    damage: Callable[[Path], None], parts: list[str], home: Path
) -> None:
    folder = home / "model"
    shutil.copytree(TINY, folder)
    damage(folder)
    refused(evaluate(home, "--set", f"model.base={folder}"), "model", *parts)
    assert not list(home.rglob("pwned"))


def test_a_model_that_is_not_there_is_not_fetched(home: Path) -> None:
    refused(evaluate(home, "--set", "model.base=no/such-model"), "no/such-model", "model.offline: false")


def test_an_output_directory_that_cannot_be_written_is_found_first(home: Path) -> None:
    (home / "file").write_text("", encoding="utf-8")
    out = home / "file" / "run"
    refused(evaluate(home, "--out", out, data={"path": "nowhere"}), "file/run", "cannot be written")


def test_a_directory_of_another_configuration_is_refused(home: Path) -> None:
    out = home / "reports" / "small"
    out.mkdir(parents=True)
    earlier = "name: another\nseed: 1\n"
    (out / "config.resolved.yaml").write_text(earlier, encoding="utf-8")
    refused(evaluate(home), "reports/small", "another configuration", "--fresh", "--out")
    assert (out / "config.resolved.yaml").read_text(encoding="utf-8") == earlier


def test_validate_says_which_limits_no_run_of_this_size_can_keep(home: Path) -> None:
    rules = [
        {"metric": "mia.auc", "method": "uniform", "max": 0.51},
        {"metric": "mia.auc", "method": "uniform", "max": 0.9},
        {"metric": "mia.auc", "method": "base", "max": 0.51},
        {"metric": "utility.primary", "min": 0.1},
    ]
    finished = run_cli("validate", write_study(home, gate={"rules": rules}), home=home)
    assert finished.code == 4
    assert "small is valid" in finished.stdout
    assert (
        "gate: 1 limit cannot be met with so few records: mia.auc of uniform at most 0.51 needs 17513 "
        in (finished.stderr)
    )
    assert "Traceback" not in finished.stderr
    kept = run_cli("validate", write_study(home, gate={"rules": rules[1:]}), home=home)
    assert (kept.code, kept.stderr) == (0, "")


@pytest.mark.parametrize("command", ["validate", "evaluate"])
def test_a_stylesheet_is_checked_before_any_work(home: Path, command: str) -> None:
    study = write_study(home, report={"stylesheet": "a {}\nb { background: url(x) }"})
    refused(run_cli(command, study, home=home), r"report\.stylesheet: line 2: 'url\(\)' is refused")
    assert not (home / "reports").exists()


def test_validate_finds_the_same_faults(home: Path) -> None:
    path = write_users(home, {**user("s1"), "history": []})
    finished = run_cli("validate", write_study(home), "--data", path, home=home)
    refused(finished, r"users\.jsonl:1: history: empty")
