"""PriME's premise and the counterfactual without a sharer, through a small study and on made-up points."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime_audit.study.premise import premise_metrics
from tests.support import run_cli, write_study

PRIME = {"kind": "prime", "budget": 12, "starts": ["base", "sharers", "uniform"], "margin_errors": 0.0}
AUDIT = {"permutations": 1000, "controls": ["base", "own-module", "without-sharer"], "premise": 5}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("premise")
    study = write_study(
        home, methods=["base", "uniform", PRIME], audit=AUDIT, data={"sharers": 4, "targets": 2}
    )
    finished = run_cli("evaluate", study, home=home)
    assert finished.code == 0, finished.stderr
    return home


def results(home: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((home / "reports/small/results.json").read_text())
    return loaded


def journal(home: Path) -> dict[str, Any]:
    lines = (home / "reports/small/journal.jsonl").read_text().splitlines()
    return {entry["unit"]: entry["output"] for entry in map(json.loads, lines)}


def test_evaluated_merges_are_attacked(home: Path) -> None:
    units = journal(home)
    for target in ("target-01", "target-02"):
        points = units[f"premise/prime/{target}"]["points"]
        assert len(points) == 5
        searched = {point["s"] for point in units[f"deploy/prime/{target}"]["points"]}
        assert {point["s"] for point in points} <= searched
        # Each share of N weights lies between 1 / N (one sharer alone) and 1 / sqrt N (all alike).
        assert all(1 / 2 - 1e-9 <= point["share"] <= 1 / np.sqrt(2) + 1e-9 for point in points)
        assert all(point["norm"] > 0 for point in points)


def test_a_sharer_alone_has_its_own_norm(home: Path) -> None:
    points = journal(home)["premise/prime/target-01"]["points"]
    # The first merge is the first sharer alone: its norm over the mean of two, and half of all shares.
    assert points[0]["share"] == pytest.approx(0.5)
    assert points[0]["norm"] == pytest.approx(1.0, abs=0.3)


def test_the_counterfactual_is_a_control_about_the_same_records(home: Path) -> None:
    found = results(home)
    entry = next(m for m in found["methods"] if m["id"] == "control-without-sharer")
    assert entry["family"] == "control"
    counts = {
        metric["method"]: metric["n"]["attempted"]
        for metric in found["metrics"]
        if (metric["id"], metric["attack"], metric["user"], metric["slice"])
        == ("mia.auc", "loss", None, None)
    }
    assert counts["control-without-sharer"] == counts["uniform"]
    finding = next(f for f in found["findings"] if f["method"] == "control-without-sharer")
    assert finding["verdict"] in {"none detected", "inconclusive"}


def test_the_report_shows_both(home: Path) -> None:
    page = (home / "reports/small/report.html").read_text()
    assert "control-without-sharer" in page
    assert "less leakage" in page


def outputs(points: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    return {f"premise/prime/{target}": {"points": listed} for target, listed in points.items()}


def planted(seed: int, slope: float) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [
        {"s": s, "d": slope * s + 0.1 * rng.normal(), "norm": rng.random(), "share": rng.random()}
        for s in rng.random(30).tolist()
    ]


def test_a_planted_relation_is_found_with_an_interval_over_targets() -> None:
    targets = [f"t{i}" for i in range(8)]
    found = premise_metrics(["prime"], targets, outputs({t: planted(i, 1.0) for i, t in enumerate(targets)}))
    for given in ("none", "norm and share"):
        (overall,) = [m for m in found if m.slice == {"given": given} and m.target is None]
        assert overall.value is not None
        assert overall.value > 0.8
        assert overall.ci is not None
        assert overall.ci.low > 0.5
        assert len([m for m in found if m.slice == {"given": given} and m.target]) == 8


def test_no_relation_is_near_zero() -> None:
    targets = [f"t{i}" for i in range(30)]
    found = premise_metrics(["prime"], targets, outputs({t: planted(i, 0.0) for i, t in enumerate(targets)}))
    overall = next(m for m in found if m.slice == {"given": "none"} and m.target is None)
    assert overall.value is not None
    assert abs(overall.value) < 0.12


def test_a_similarity_that_does_not_vary_is_undefined() -> None:
    same = [{"s": 0.5, "d": float(i), "norm": 1.0, "share": 1.0} for i in range(6)]
    found = premise_metrics(["prime"], ["t"], outputs({"t": same}))
    assert [(m.value, m.status) for m in found] == [(None, "undefined")] * 2
    assert all(m.reason for m in found)
