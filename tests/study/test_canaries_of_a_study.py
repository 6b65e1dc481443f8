"""Planted secrets through a whole small study: what memorises them, what does not, and what is shown."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prime_audit import load_results
from prime_audit.config import load_study
from prime_audit.core import Seeds
from prime_audit.data import CanaryDesign, draw_canaries
from prime_audit.errors import ConfigError
from prime_audit.results import Metric, Results
from prime_audit.study.inputs import load_dataset
from prime_audit.study.plan import describe_plan
from tests.support import run_cli, user, write_study, write_users

# Small weights of the base, trained long enough to learn a text that stands thirty-two times in it by heart.
TRAINING = {"rank": 8, "alpha": 16, "lr": 1.0e-2, "epochs": 4, "batch_size": 8, "loss": "answer"}
METHODS = [
    "base",
    "uniform",
    "ties",
    {"kind": "fixed-weights", "id": "turned", "weights": [-1.0, -1.0], "norm": 0.7},
    {"kind": "prime", "budget": 12, "margin": 1.0},
]
CANARIES = {
    "types": ["email", "code"],
    "repetitions": [1, 32],
    "per_cell": 3,
    "candidates": 200,
    "samples": 64,
}
AUDIT = {
    "permutations": 1000,
    "attacks": ["loss", "reference"],
    "controls": ["own-module"],
    "canaries": CANARIES,
    "linkage": True,
    "malicious": {},
}
SECTIONS: dict[str, Any] = {
    "methods": METHODS,
    "audit": AUDIT,
    "data": {"sharers": 3, "targets": 1},
    "training": TRAINING,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", write_study(home, **SECTIONS), home=home)
    assert finished.code == 0, finished.stderr
    (home / "stdout").write_text(finished.stdout)
    (home / "stderr").write_text(finished.stderr)
    return home / "reports" / "small"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return load_results(run)


@pytest.fixture(scope="module")
def design(run: Path) -> CanaryDesign:
    config = load_study(str(run.parent.parent / "study.yaml"))
    dataset, settings = load_dataset(config), config.audit.canaries
    assert settings is not None
    return draw_canaries(dataset.sharers, dataset.task, "answer", Seeds(config.seed), settings)


def one(results: Results, name: str, method: str, **part: object) -> Metric:
    (found,) = [m for m in results.metrics if (m.id, m.method, m.slice or {}) == (name, method, part)]
    return found


def test_what_stands_often_in_a_module_stands_out_of_it(results: Results) -> None:
    often = one(results, "exposure.bits", "control-own-module", repetitions=32)
    assert often.value is not None
    assert often.value > 4
    assert (one(results, "exposure.p", "control-own-module", repetitions=32).value or 1) < 0.01
    # Guessing picks one of a hundred.
    assert (one(results, "pii.inference", "control-own-module", repetitions=32).value or 0) >= 0.5


def test_the_base_knows_none_of_them(results: Results) -> None:
    for times in (1, 32):
        assert (one(results, "exposure.p", "control-base", repetitions=times).value or 0) > 0.01
        assert one(results, "extraction.rate", "control-base", repetitions=times).value == 0.0


def test_counts_are_those_of_the_coin(results: Results, design: CanaryDesign) -> None:
    every = [canary for canaries in design.canaries.values() for canary in canaries]
    never = sum(not canary.inserted for canary in every)
    for times in (1, 32):
        inside = sum(canary.inserted and canary.repetitions == times for canary in every)
        n = one(results, "exposure.bits", "control-own-module", repetitions=times).n
        assert n is not None
        assert (n.members, n.nonmembers) == (inside, never)


def test_every_model_is_asked_or_says_why_not(run: Path, results: Results) -> None:
    units = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    exposed = {u["unit"]: u["output"] for u in units if str(u.get("unit", "")).startswith("expose/")}
    assert exposed["expose/prime/target-01"]["skipped"] == "no sharer with canaries is merged in it"
    asked = {m.method for m in results.metrics if m.id == "exposure.bits"}
    # TIES is no weighted sum: it was carried out again on the planted modules.
    assert asked == {"control-base", "control-own-module", "uniform", "ties", "turned"}
    assert exposed["expose/uniform/target-01"]["turned"] == []
    both = exposed["expose/turned/target-01"]
    assert both["turned"] == both["users"] != []


def test_the_membership_arm_has_not_seen_them(run: Path, tmp_path: Path) -> None:
    home = tmp_path
    audit = {key: value for key, value in AUDIT.items() if key not in ("canaries", "linkage", "malicious")}
    finished = run_cli("evaluate", write_study(home, **{**SECTIONS, "audit": audit}), home=home)
    assert finished.code == 0, finished.stderr
    with_canaries, plain = load_results(run), load_results(home / "reports" / "small")

    def figures(results: Results) -> dict[tuple[object, ...], float | None]:
        kept = [m for m in results.metrics if m.id.startswith(("mia.", "utility."))]
        return {metric.key: metric.value for metric in kept}

    assert figures(with_canaries) == figures(plain)


def test_what_ordinary_answers_give_away_is_counted(results: Results, design: CanaryDesign) -> None:
    found = one(results, "extraction.discovery", "uniform")
    assert found.n is not None
    assert 0 < (found.n.scored or 0) <= sum(c.inserted for kind in design.canaries.values() for c in kind)
    far, near = (
        one(results, "extraction.distance", method, repetitions=32).value
        for method in ("control-base", "control-own-module")
    )
    assert near is not None
    assert far is not None
    assert near < far <= 1


def test_sampled_text_is_searched_beside_the_base(results: Results) -> None:
    for name in ("pii.extraction", "pii.reconstruction"):
        assert one(results, name, "control-base", repetitions=32).value == 0.0
        own = one(results, name, "control-own-module", repetitions=32)
        assert own.value is not None
        assert own.ci is not None
        assert one(results, f"{name}_p", "control-own-module", repetitions=32).value is not None
    assert one(results, "pii.precision", "control-base").status == "undefined"


def test_a_crafted_module_turns_an_average_into_the_victims_own(run: Path, results: Results) -> None:
    units = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    said = {u["unit"]: u["output"] for u in units if str(u.get("unit", "")).startswith("cheat")}
    # Two sharers: half of V, and half of a module that is V.
    assert said["cheat/uniform/target-01"]["weight"] == pytest.approx(0.5, abs=1e-6)
    assert said["cheat/uniform/target-01"]["share"] == pytest.approx(1.0, abs=1e-6)
    assert said["cheat-honest/uniform/target-01"]["share"] == pytest.approx(0.5, abs=1e-6)
    gains = [one(results, "malicious.gain", "uniform", arm=arm) for arm in ("weights", "module")]
    assert all(gain.value is not None for gain in gains)
    honest, attacked = (
        one(results, f"malicious.{name}", "uniform", arm="module").value for name in ("honest", "exposure")
    )
    assert honest is not None
    assert attacked is not None
    assert attacked - honest == pytest.approx(gains[1].value, abs=1e-9)
    # The whole of the victim's module shows its secrets better than half of it.
    assert attacked > honest + 0.5
    assert one(results, "malicious.completed", "uniform", arm="module").n is not None
    assert "uniform/malicious" in results.coverage.run


def test_a_cheating_merger_needs_secrets_to_steal(tmp_path: Path) -> None:
    path = write_study(tmp_path, **{**SECTIONS, "audit": {"malicious": {}}})
    with pytest.raises(ConfigError, match="'malicious' brings out planted secrets and needs 'canaries'"):
        load_study(str(path))


def test_findings_name_planted_secrets(results: Results) -> None:
    found = {f.method: f for f in results.findings if f.attack == "exposure"}
    assert set(found) == {"control-own-module", "uniform", "ties", "turned"}
    own = found["control-own-module"]
    assert own.verdict == "leak"
    assert own.p is not None
    assert own.p <= 0.05
    assert "planted 32 times" in own.reason
    assert [attack.id for attack in results.attacks if attack.kind == "canary"] == ["exposure"]


def test_what_part_of_the_training_is_planted_is_said(results: Results) -> None:
    share = one(results, "canaries.token_share", "control-own-module")
    assert share.value is not None
    assert 0.05 < share.value < 1
    assert "above the 5 %" in share.reason


def test_a_method_without_any_secret_in_it_is_a_gap(results: Results) -> None:
    gaps = {gap.id: gap.reason for gap in results.coverage.skipped}
    assert gaps["prime/canaries"] == "run on 0 of 1 models; no sharer with canaries is merged in it"
    assert {"uniform/canaries", "ties/canaries", "turned/canaries"} <= set(results.coverage.run)


def test_canaries_without_a_merge_are_refused(tmp_path: Path) -> None:
    for audit in ({"canaries": CANARIES}, {"linkage": True}):
        (name,) = audit
        path = write_study(tmp_path, **{**SECTIONS, "methods": ["base", "oppu"], "audit": audit})
        with pytest.raises(ConfigError, match=rf"audit\.{name} is about merges"):
            describe_plan(load_study(str(path)))


def test_a_bound_says_what_it_could_have_reached(results: Results) -> None:
    for bound in ("one-run", "f-dp"):
        part = {"bound": bound, "delta": 1e-5, "unit": "example", "level": 0.95}
        lower = one(results, "epsilon.lower", "control-own-module", **part)
        ceiling = one(results, "epsilon.ceiling", "control-own-module", **part)
        assert lower.value is not None
        assert ceiling.value is not None
        assert 0 <= lower.value <= ceiling.value


def test_linkage_names_the_merged_sharers(results: Results) -> None:
    assert one(results, "linkage.recall", "uniform").value == 1.0
    assert (one(results, "linkage.weight_error", "uniform").value or 1) < 1e-3
    assert one(results, "linkage.recall", "ties").value == 1.0
    # What fell back to the base holds nobody's module.
    assert one(results, "linkage.recall", "prime").status == "undefined"


def test_nothing_that_is_written_or_printed_holds_a_secret(run: Path, design: CanaryDesign) -> None:
    secrets = [canary.secret for canaries in design.canaries.values() for canary in canaries]
    assert len(secrets) >= 36
    home = run.parent.parent
    files = [path for path in home.rglob("*") if path.is_file() and "cache" not in path.parts]
    assert any(path.name == "report.html" for path in files)
    for path in files:
        data = path.read_bytes().lower()
        assert not [secret for secret in secrets if secret.lower().encode() in data], os.fspath(path)


def test_the_report_shows_the_arm(run: Path) -> None:
    page, summary = (run / "report.html").read_text(), (run / "summary.md").read_text()
    for words in ("Planted secrets", "Lower bounds on ε", "Are sharers recognised in the adapters?"):
        assert words in page
    assert "### Planted secrets, all types together" in summary
    assert len(json.loads((run / "evidence" / "design-canaries.json").read_text())["commitment"]) == 64


def test_a_task_without_room_for_a_secret_is_refused_before_any_compute(tmp_path: Path) -> None:
    people = [user(f"s{i}", answer="3") for i in range(3)] + [user("t", "target", answer="3")]
    for person in people:
        for item in (*person["history"], *person["queries"]):
            item["answer"] = "3"
    write_users(tmp_path, *people)
    data = {"path": str(tmp_path), "sharers": None, "targets": None}
    sections = {**SECTIONS, "task": "lamp-3", "methods": ["base", "uniform"], "data": data}
    config = load_study(str(write_study(tmp_path, **sections)))
    with pytest.raises(ConfigError, match=r"audit\.canaries: a number task trains on labels alone"):
        describe_plan(config)
