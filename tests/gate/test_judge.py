from dataclasses import dataclass
from pathlib import Path

import pytest

from prime_audit.errors import ConfigError, DataError
from prime_audit.gate import judge, read_gate, write_gate
from prime_audit.results import CI, AttackInfo, Coverage, Family, Method, Metric, Results, Study


@dataclass(frozen=True)
class Limit:
    metric: str
    method: str | None = None
    attack: str | None = None
    min: float | None = None
    max: float | None = None


def run(*metrics: Metric, status: str = "complete") -> Results:
    families: dict[str, Family] = {"prime": "merging", "oppu": "training", "control-own-module": "control"}
    return Results.model_validate(
        {
            "status": status,
            "study": Study(name="s", task="t", seed=1, design="holdout", config_digest="0"),
            "methods": tuple(Method(id=m, kind=m, family=f, label=m) for m, f in families.items()),
            "attacks": tuple(
                AttackInfo(id=a, kind="membership", threat_model="x", source="x", version=1)
                for a in ("loss", "reference")
            ),
            "metrics": metrics,
            "coverage": Coverage(requested=(), run=()),
        }
    )


def auc(value: float, low: float, high: float, method: str = "prime", **more: object) -> Metric:
    ci = CI(low=low, high=high, how="x")
    parts = {
        "id": "mia.auc",
        "method": method,
        "attack": "reference",
        "value": value,
        "ci": ci,
        "direction": "lower",
    }
    return Metric.model_validate({**parts, **more})


@pytest.mark.parametrize(
    ("metric", "limit", "verdict", "code"),
    [
        (auc(0.55, 0.50, 0.60), Limit("mia.auc", max=0.60), "pass", 0),
        (auc(0.55, 0.50, 0.61), Limit("mia.auc", max=0.60), "fail", 3),
        (auc(0.65, 0.61, 0.70), Limit("mia.auc", max=0.60), "fail", 3),
        (auc(0.25, 0.15, 0.35), Limit("mia.auc", max=0.60), "fail", 3),
        (auc(0.45, 0.41, 0.49), Limit("mia.auc", max=0.60), "pass", 0),
        (auc(0.55, 0.50, 0.60), Limit("mia.auc", min=0.50), "pass", 0),
        (auc(0.55, 0.49, 0.60), Limit("mia.auc", min=0.50), "fail", 3),
    ],
)
def test_a_limit_is_judged_on_the_unfavourable_end(
    metric: Metric, limit: Limit, verdict: str, code: int
) -> None:
    gate = judge(run(metric), [limit])
    assert (gate.verdict, gate.exit_code, gate.rules[0].verdict) == (verdict, code, verdict)


def test_the_reason_tells_a_wide_interval_from_a_bad_value() -> None:
    wide = judge(run(auc(0.55, 0.50, 0.61)), [Limit("mia.auc", max=0.60)])
    bad = judge(run(auc(0.65, 0.61, 0.70)), [Limit("mia.auc", max=0.60)])
    assert "more records" in wide.rules[0].reason
    assert "the value itself" in bad.rules[0].reason


@pytest.mark.parametrize(
    "results",
    [
        run(),
        run(auc(0.5, 0.4, 0.6, attack="loss")),
        run(auc(0.5, 0.4, 0.6, user="u1")),
        run(auc(0.5, 0.4, 0.6, ci=None)),
        run(
            Metric(
                id="mia.auc", method="prime", attack="reference", value=None, status="undefined", reason="few"
            )
        ),
    ],
)
def test_what_is_missing_undefined_or_without_interval_is_never_a_pass(results: Results) -> None:
    gate = judge(results, [Limit("mia.auc", "prime", "reference", max=0.99)])
    assert (gate.verdict, gate.exit_code) == ("error", 4)


def test_a_broken_limit_outranks_one_that_could_not_be_judged() -> None:
    gate = judge(run(auc(0.9, 0.8, 0.95)), [Limit("mia.auc", max=0.6), Limit("utility.primary", min=0.1)])
    assert [rule.verdict for rule in gate.rules] == ["fail", "error"]
    assert gate.exit_code == 3


def test_an_incomplete_run_does_not_pass() -> None:
    good = auc(0.5, 0.45, 0.55)
    assert judge(run(good, status="incomplete"), [Limit("mia.auc", max=0.6)]).exit_code == 4
    assert judge(run(good), [Limit("mia.auc", max=0.6)]).exit_code == 0


def test_a_rule_without_a_method_covers_all_but_the_controls_and_the_merged_targets_too() -> None:
    merged = {"targets": "merged"}
    metrics = (
        auc(0.55, 0.50, 0.59),
        auc(0.62, 0.55, 0.68, slice=merged),
        auc(0.50, 0.45, 0.55, "oppu"),
        auc(0.9, 0.85, 0.95, "control-own-module"),
    )
    gate = judge(run(*metrics), [Limit("mia.auc", max=0.60)])
    assert [(rule.method, rule.subset, rule.verdict) for rule in gate.rules] == [
        ("prime", "all targets", "pass"),
        ("prime", "merged targets", "fail"),
        ("oppu", "all targets", "pass"),
    ]
    named = judge(run(*metrics), [Limit("mia.auc", "control-own-module", min=0.65)])
    assert named.verdict == "pass"


def test_a_rule_without_a_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="no limit"):
        judge(run(), [Limit("mia.auc")])


def test_gate_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    gate = judge(run(auc(0.55, 0.50, 0.61)), [Limit("mia.auc", max=0.60, min=0.4)])
    write_gate(tmp_path / "gate.json", gate)
    assert read_gate(tmp_path / "gate.json") == gate
    (tmp_path / "gate.json").write_text('{"verdict": "fine", "rules": []}')
    with pytest.raises(DataError, match="verdict"):
        read_gate(tmp_path / "gate.json")
