"""Merging methods and the controls built from them, through a whole small study."""

import json
from pathlib import Path
from typing import Any

import pytest

from prime_audit import load_results
from prime_audit.config import StudyConfig, load_study
from prime_audit.errors import ConfigError
from prime_audit.results import Metric, Results
from prime_audit.study.plan import describe_plan
from tests.support import run_cli, write_study

METHODS = [
    # A control may stand before the method that it is built from.
    {"kind": "norm-matched", "of": "ties"},
    "base",
    "nearest",
    {"kind": "similarity", "scale": 0.8},
    {"kind": "task-arithmetic", "grid": [0.5, 1.0], "max_items": 2},
    {"kind": "ties", "density": 0.3, "scale": 1.5},
    {"kind": "dare", "combine": "ties", "rank": 3},
    # Utility lies in [0, 1], so no gain exceeds this margin.
    {"kind": "prime", "budget": 12, "margin": 1.0},
    {"kind": "random-weights", "of": "nearest"},
    {"kind": "rescaled", "of": "ties"},
    {"kind": "rescaled", "id": "rescaled-prime"},
]
CONTROLS = {"norm-matched": "ties", "random-weights": "nearest", "rescaled": "ties"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", write_study(home, methods=METHODS), home=home)
    assert finished.code == 0, finished.stderr
    return home / "reports" / "small"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return load_results(run)


def deployed(run: Path, method: str) -> dict[str, Any]:
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    (found,) = [entry["output"] for entry in entries if entry["unit"].startswith(f"deploy/{method}/")]
    return dict(found)


def metric(results: Results, name: str, method: str, attack: str | None = None) -> Metric:
    (found,) = [
        m
        for m in results.metrics
        if (m.id, m.method, m.attack) == (name, method, attack)
        and m.target is None
        and m.user is None
        and m.slice is None
    ]
    return found


def test_a_selected_sharer_without_weight_is_not_counted_as_merged(run: Path, results: Results) -> None:
    (nearest,) = deployed(run, "nearest")["sources"]
    found = {
        (m.method, m.user, bool(m.slice)): m.value
        for m in results.metrics
        if m.id == "mia.auc" and m.attack == "reference"
    }
    # The whole module of one sharer is deployed: about that one it gives away what the module itself does.
    alone = found["control-own-module", nearest, False]
    assert alone is not None
    assert found["nearest", None, True] == pytest.approx(alone)
    assert found["nearest", None, False] != pytest.approx(alone)


def test_a_control_keeps_the_norm_that_it_is_built_for(run: Path) -> None:
    # The journal rounds norms to 1e-10.
    assert deployed(run, "norm-matched")["norm"] == pytest.approx(deployed(run, "ties")["norm"], rel=1e-6)
    assert deployed(run, "random-weights")["norm"] == pytest.approx(
        deployed(run, "nearest")["norm"], rel=1e-6
    )
    rescaled = deployed(run, "rescaled")
    assert rescaled["norm"] == pytest.approx(
        rescaled["notes"]["scale"] * deployed(run, "ties")["norm"], rel=1e-6
    )


def test_a_control_of_a_method_that_fell_back_falls_back(run: Path) -> None:
    prime, control = deployed(run, "prime"), deployed(run, "rescaled-prime")
    assert (prime["reverted"], control["reverted"]) == (True, True)
    assert (control["adapter"], control["weights"]) == (None, [])


def test_controls_of_methods_are_measured_and_judged_like_methods(results: Results) -> None:
    families = {method.id: method.family for method in results.methods}
    assert {families[name] for name in (*CONTROLS, "rescaled-prime")} == {"control"}
    judged = {finding.method for finding in results.findings}
    for name in CONTROLS:
        assert metric(results, "utility.primary", name).value is not None
        assert metric(results, "utility.delta", name).reference == "base"
        assert metric(results, "mia.auc", name, "reference").subject == "sharer"
        assert metric(results, "norm.ratio", name).value
        assert name in judged


def test_notes_reach_the_results(results: Results) -> None:
    notes = {entry.method: entry.notes for entry in results.search}
    assert 0 < float(notes["ties"]["svd_error"]) < 1
    assert notes["dare"]["rank"] == 3
    assert notes["task-arithmetic"]["scale"] in (0.5, 1.0)
    assert notes["similarity"] == {}
    weights = {entry.method: entry.weights for entry in results.search}
    assert weights["nearest"] == (1.0, 0.0)
    assert sum(weights["similarity"] or ()) == pytest.approx(0.8)


def test_the_report_renders(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    for name in (*CONTROLS, "ties", "dare"):
        assert name in page


def study(folder: Path, *methods: object) -> StudyConfig:
    return load_study(str(write_study(folder, methods=["base", *methods])))


def test_a_control_adds_one_deployment_and_one_scoring_per_target(tmp_path: Path) -> None:
    without = dict(describe_plan(study(tmp_path, "ties")))
    beside = dict(describe_plan(study(tmp_path, {"kind": "rescaled", "of": "ties"}, "ties")))
    assert {stage: beside[stage] - without[stage] for stage in beside if beside[stage] != without[stage]} == {
        "deploy": 1,
        "score": 1,
    }


@pytest.mark.parametrize(
    ("of", "why", "hint"),
    [
        ("tie", "no method of this study", "did you mean 'ties'"),
        ("prime", "no method of this study", "one of: ties, uniform"),
        ("rag", "does not merge sharers' modules", "one of: ties, uniform"),
        ("other", "a control itself", "one of: ties, uniform"),
    ],
)
def test_a_control_of_nothing_mergeable_is_refused(tmp_path: Path, of: str, why: str, hint: str) -> None:
    other = {"kind": "rescaled", "id": "other", "of": "ties"}
    config = study(tmp_path, "rag", "ties", "uniform", other, {"kind": "norm-matched", "of": of})
    with pytest.raises(ConfigError, match=f"'norm-matched' is of '{of}', which .*{why}") as refused:
        describe_plan(config)
    assert hint in refused.value.hint


def test_a_control_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'rescaled' is of 'prime'") as refused:
        describe_plan(study(tmp_path, "rescaled"))
    assert "add a method that merges sharers" in refused.value.hint
