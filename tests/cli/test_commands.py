"""The commands that compute nothing: init, list, schema, validate, report."""

import json
import re
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml

from attacks import ATTACKS
from attacks.base import ThreatModel
from attacks.registry import PARTS
from prime_audit.cli.app import main
from prime_audit.config import BUILT_IN_ATTACKS, bundled_studies, load_study
from tests.support import user, write_study, write_users


def end(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_init_writes_a_study_that_loads_and_explains_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    assert end("init", path) == 0
    assert f"prime-audit validate {path} --plan" in capsys.readouterr().err
    study = load_study(path)
    assert study.name == "my-study"
    text = path.read_text(encoding="utf-8")
    assert text.count("#") >= 15
    # Every section of a study stands in the file, so that nobody has to look one up.
    assert set(yaml.safe_load(text)) == set(type(study).model_fields)


def test_init_replaces_nothing_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("mine", encoding="utf-8")
    assert end("init", path) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert end("init", path, "--force") == 0
    assert load_study(path).name == "my-study"


def test_init_in_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert end("init", tmp_path / "nowhere" / "study.yaml") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (
            "studies",
            {
                *("full", "quickstart", "reviews", "shrinkage"),
                *(f"lamp-{number}{size}" for number in range(1, 8) for size in ("", "-small")),
            },
        ),
        ("tasks", {"lamp-2n", *(f"lamp-{number}" for number in range(1, 8))}),
        (
            "methods",
            {
                *(
                    "pretrained",
                    "base",
                    "rag",
                    "profile",
                    "profile-rag",
                    "in-context",
                    "prime",
                    "official",
                    "lorahub",
                    "per-pcs",
                ),
                *("oppu", "oppu-rag", "oppu-profile", "pooled", "adapt-merged"),
                *("nearest", "uniform", "task-arithmetic", "similarity", "ties", "dare"),
                *("random-weights", "norm-matched", "rescaled", "fixed-weights"),
            },
        ),
        ("attacks", set(BUILT_IN_ATTACKS)),
    ],
)
def test_list(what: str, expected: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert end("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} == expected
    assert end("list", what) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert lines[0].startswith("id ")
    assert {line.split()[0] for line in lines[1:] if not line.startswith(" ")} == expected


def test_the_list_of_attacks_fits_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("list", "attacks") == 0
    table, _, below = capsys.readouterr().out.partition("\n\n")
    assert max(map(len, [*table.splitlines(), *below.splitlines()])) <= 80
    assert table.split()[:4] == ["id", "who", "source", "needs"]
    assert "membership" not in table
    explained = [line.split()[0] for line in below.splitlines() if line.startswith("  ")]
    assert explained == [*get_args(ThreatModel), *sorted(PARTS, key=explained.index)]
    # No row loses a need to the wrapping.
    words = " ".join(table.replace(",", " ").split())
    assert all(need in words for attack in ATTACKS.values() for need in attack.needs)


def test_the_study_schema_accepts_every_bundled_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("schema", "study") == 0
    schema = json.loads(capsys.readouterr().out)
    for name in bundled_studies():
        jsonschema.validate(load_study(name).model_dump(mode="json"), schema)


def test_the_study_schema_explains_every_key_of_the_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("schema", "study") == 0
    keys = json.loads(capsys.readouterr().out)["$defs"]["PassesConfig"]["properties"]
    assert set(keys) == {"methods", "targets", "neighbours", "shots", "samples", "population"}
    assert [name for name, key in keys.items() if not key.get("description")] == []
    # The attacks that a key names are those that read what it makes.
    made = {"neighbours": "neighbours", "shots": "prefixed", "samples": "overlap", "population": "population"}
    for key, part in made.items():
        readers = [attack.id for attack in ATTACKS.values() if part in attack.needs]
        said = keys[key]["description"].replace("both rmia", "rmia rmia-offline")
        assert all(name in said.replace(",", " ").replace(".", " ").split() for name in readers), key


def test_the_template_of_a_study_names_what_its_attacks_need(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert end("init", path) == 0
    text, audit = path.read_text(encoding="utf-8"), load_study(path).audit
    assert set(yaml.safe_load(text)["audit"]["passes"]) == set(type(audit.passes).model_fields)
    assert audit.passes == type(audit.passes)()
    assert yaml.safe_load(text)["audit"]["primary"] is None
    (shadows,) = [line for line in text.splitlines() if line.startswith("  # shadows:")]
    assert "lira, rmia, bavaria and base-mia need them" in shadows


def test_the_results_schema_is_the_committed_one(capsys: pytest.CaptureFixture[str]) -> None:
    from prime_audit.results import results_schema

    assert end("schema", "results") == 0
    assert json.loads(capsys.readouterr().out) == results_schema()


def test_validate_counts_users_and_units_and_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert end("validate", "quickstart", "--set", "data.sharers=5", "--plan") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("quickstart is valid: task lamp-4, 5 sharers, 12 targets")
    counts = {line.split()[1]: int(line.split()[0]) for line in out[1:-1]}
    assert re.fullmatch(
        r"on disk: at most \d+\.\d MB in the run directory and \d+\.\d MB in the store of modules", out[-1]
    )
    assert (counts["train"], counts["own"]) == (5, 12)
    assert counts.pop("units") == sum(counts.values())


def test_validate_says_what_an_earlier_run_took_and_why_room_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports" / "quickstart").mkdir(parents=True)
    manifest = {"seconds": {"train": 61.2, "score": 2.1}}
    (tmp_path / "reports" / "quickstart" / "manifest.json").write_text(json.dumps(manifest))
    few = ("data.sharers=5", "data.targets=1", "model.base=nobody/has-this")
    assert end("validate", "quickstart", "--plan", *(word for one in few for word in ("--set", one))) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "time: the run in reports/quickstart computed for 63 s"
    assert out[-2].startswith("on disk: not known, because model nobody/has-this")


def test_every_stage_of_a_plan_is_put_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    sections = ("data.sharers=4", "data.targets=1", "sharers.per_target=2", "audit.malicious={}")
    assert end("validate", "full", "--plan", *(word for one in sections for word in ("--set", one))) == 0
    stages = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]
    stages = [words for words in stages if words[0].isdigit() and words[1] != "units"]
    there = {words[1] for words in stages}
    assert {"pass", "shadow", "shade", "swap", "swapped", "select-pools", "pool", "cheat", "pose"} <= there
    assert [words for words in stages if len(words) < 3] == []


@pytest.mark.parametrize("command", ["report", "check", "compare"])
def test_a_run_that_has_not_come_to_its_end_is_called_that(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.jsonl").write_text("")
    assert end(command, tmp_path, *([tmp_path] if command == "compare" else [])) == 4
    said = capsys.readouterr().err
    assert "has not come to its end" in said
    assert "continues it" in said


def test_report_of_something_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert end("report", tmp_path / "nothing") == 2
    assert "no such run directory" in capsys.readouterr().err
    assert end("report", tmp_path) == 2
    assert "results.json" in capsys.readouterr().err


def test_a_limit_counts_no_record_that_chose_when_training_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails where `validate` counts records that the audit compares with nothing."""
    people = [user("t0", "target", records=40), user("s0"), user("s1")]
    write_users(tmp_path, *people)
    data = {"path": str(tmp_path), "sharers": 2, "targets": 1}
    found = []
    for stopping in ("", "early_stopping: true, held_out: 0.5"):
        methods = ["base", yaml.safe_load(f"{{kind: oppu, {stopping}}}")]
        rules = [{"metric": "mia.auc", "method": "oppu", "max": 0.6}]
        study = write_study(tmp_path, data=data, methods=methods, gate={"rules": rules})
        assert end("validate", study) == 4
        found.append(re.search(r"there are (\d+) and (\d+)", capsys.readouterr().err))
    whole, stopped = ([int(one) for one in match.groups()] for match in found if match)
    assert sum(whole) == 40
    # Half of the members, and the non-members of their time.
    assert stopped[0] == whole[0] - round(0.5 * whole[0])
    assert 0 < stopped[1] < whole[1]
