"""A sharer who poses as the target's like: who is selected, what the merge becomes, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime_audit import load_results
from prime_audit.config import load_study
from prime_audit.errors import ConfigError
from prime_audit.results import Metric
from prime_audit.study.plan import describe_plan
from prime_audit.study.posing_metrics import posing_metrics
from tests.support import run_cli, write_study

SECTIONS: dict[str, Any] = {
    "methods": ["base", "uniform"],
    "audit": {
        "permutations": 1000,
        "attacks": ["loss", "reference"],
        "controls": [],
        "posing": {"items": 100, "scale": 3.0},
    },
    "data": {"sharers": 4, "targets": 1},
    "sharers": {"per_target": 2},
    "training": {"rank": 4, "alpha": 8, "lr": 1.0e-2, "epochs": 2, "batch_size": 8, "loss": "answer"},
}


def figures(outputs: dict[str, Any], method: str = "m") -> dict[str, Metric]:
    return {metric.id: metric for metric in posing_metrics(outputs) if metric.method == method}


def test_where_the_poser_is_not_selected_nothing_changes() -> None:
    found = figures(
        {
            "deploy/m/a": {"primary": [0.5, 0.7]},
            "pose/m/a": {"selected": True, "weight": 0.25, "reverted": False, "primary": [0.1, 0.3]},
            "deploy/m/b": {"primary": [0.9]},
            "pose/m/b": {"selected": False},
        }
    )
    assert found["posing.selected"].value == 0.5
    assert found["posing.weight"].value == 0.25
    assert found["posing.utility"].value == pytest.approx(-0.2)
    assert found["posing.utility"].n is not None
    assert found["posing.utility"].n.users == 2


def test_a_claim_that_nobody_believes_has_no_weight() -> None:
    found = figures({"deploy/m/a": {"primary": [0.5]}, "pose/m/a": {"selected": False}})
    assert found["posing.weight"].status == "undefined"
    assert "targets that select the poser" in found["posing.weight"].reason
    assert found["posing.utility"].value == 0.0


def test_intervals_are_over_targets() -> None:
    rng, outputs = np.random.default_rng(0), dict[str, Any]()
    for place in range(8):
        outputs[f"deploy/m/{place}"] = {"primary": [0.5]}
        after = 0.3 + 0.01 * float(rng.normal())
        outputs[f"pose/m/{place}"] = {"selected": True, "weight": 0.3, "reverted": False, "primary": [after]}
    interval = figures(outputs)["posing.utility"].ci
    assert interval is not None
    assert interval.low < -0.2 < interval.high
    assert "t over 8" in interval.how


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished = run_cli("evaluate", write_study(home, **SECTIONS), home=home)
    assert finished.code == 0, finished.stderr
    return home / "reports" / "small"


def test_whoever_copies_the_questions_is_selected(run: Path) -> None:
    units = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    said = {u["unit"]: u["output"] for u in units if "unit" in u}
    for target, honest in said["select"]["selected"].items():
        claimed = said["claim"][target]
        assert claimed["poser"] not in honest
        assert claimed["poser"] in claimed["selected"]
        uniform = said[f"pose/uniform/{target}"]
        assert uniform["selected"]
        # Uniform averages whatever it is given.
        assert uniform["weight"] == pytest.approx(0.5)
        assert uniform["primary"] != said[f"deploy/uniform/{target}"]["primary"]
    results = load_results(run)
    by_method = {m.method: m for m in results.metrics if m.id == "posing.selected"}
    assert set(by_method) == {"uniform"}
    assert by_method["uniform"].value == 1.0
    assert "What a posing sharer gets" in (run / "report.html").read_text()
    assert "What a posing sharer gets" in (run / "summary.md").read_text()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {"sharers": 2, "targets": 1}}, "all 2 sharers are selected for every target"),
        ({"methods": ["base", "oppu"]}, r"audit\.posing is about merges"),
    ],
)
def test_a_pose_that_means_nothing_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write_study(tmp_path, **{**SECTIONS, **changed})
    with pytest.raises(ConfigError, match=message):
        describe_plan(load_study(str(path)))
