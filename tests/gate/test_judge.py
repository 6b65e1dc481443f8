from pathlib import Path

import pytest

from prime_audit.errors import ConfigError, DataError
from prime_audit.gate import Run, judge, read_gate, records_short, write_gate
from prime_audit.results import CI, AttackInfo, Coverage, Family, Method, Metric, N, Results, Study
from tests.gate.sets import Limit


def run(*metrics: Metric, status: str = "complete") -> Run:
    families: dict[str, Family] = {"prime": "merging", "oppu": "training", "control-own-module": "control"}
    results = Results.model_validate(
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
    return Run(results)


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
def test_what_is_missing_undefined_or_without_interval_is_never_a_pass(results: Run) -> None:
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


def sized(members: int, value: float = 0.5, half: float = 0.1) -> Metric:
    counts = N(attempted=2 * members, scored=2 * members, failed=0, members=members, nonmembers=members)
    return auc(value, value - half, value + half, n=counts)


def test_a_limit_that_so_few_records_cannot_meet_is_no_verdict_and_names_the_size() -> None:
    gate = judge(run(sized(100)), [Limit("mia.auc", max=0.55)])
    # Twice the spread of the normal at .025 and .1, over the margin of .05, squared and divided by 6.
    assert (gate.exit_code, gate.rules[0].needed) == (4, 701)
    assert "701 members and as many non-members" in gate.rules[0].reason
    assert judge(run(sized(701, half=0.04)), [Limit("mia.auc", max=0.55)]).exit_code == 0
    # Beyond the limit as a whole: no more records are needed to say so.
    assert judge(run(sized(100, value=0.8)), [Limit("mia.auc", max=0.55)]).exit_code == 3


@pytest.mark.parametrize(("limit", "records"), [(0.55, 701), (0.60, 176), (0.70, 44)])
def test_the_records_that_a_limit_needs_are_known_before_a_run(limit: float, records: int) -> None:
    # ((z(.975) + z(.9)) / (limit - 1/2))^2 / 6: the interval is two-sided, and 9 of 10 runs shall keep it.
    assert records_short(limit, 20, 20) == records
    assert records_short(limit, records - 2, records - 2) == records
    assert records_short(limit, records + 1, records + 1) is None
    assert records_short(limit, 0, 20) is records_short(1.0, 20, 20) is records_short(0.5, 20, 20) is None


def test_a_rate_of_nothing_needs_its_records_too() -> None:
    few = Metric.model_validate(
        {
            "id": "extraction.rate",
            "method": "prime",
            "value": 0.0,
            "ci": CI(low=0.0, high=0.0362, how="Clopper-Pearson"),
            "n": N(members=100),
            "direction": "lower",
        }
    )
    gate = judge(run(few), [Limit("extraction.rate", max=0.01)])
    assert (gate.exit_code, gate.rules[0].needed) == (4, 368)
    assert judge(run(few), [Limit("extraction.rate", max=0.05)]).exit_code == 0


def test_a_rule_can_ask_for_records_warn_and_call_a_missing_metric_a_failure() -> None:
    few = judge(run(sized(100)), [Limit("mia.auc", max=0.9, min_n=201)])
    assert (few.exit_code, "200 records" in few.rules[0].reason) == (4, True)
    assert judge(run(sized(100)), [Limit("mia.auc", max=0.9, min_n=200)]).exit_code == 0
    warned = judge(run(sized(100, 0.8)), [Limit("mia.auc", max=0.55, severity="warn")])
    assert (warned.verdict, warned.exit_code) == ("warn", 0)
    assert judge(run(), [Limit("mia.auc", max=0.9, on_missing="fail")]).exit_code == 3
    assert judge(run(), [Limit("mia.auc", max=0.9, severity="warn")]).exit_code == 4


def test_a_rule_can_name_a_part_of_the_records() -> None:
    part = auc(0.7, 0.65, 0.75, slice={"repetitions": 16})
    assert judge(run(part), [Limit("mia.auc", max=0.9)]).exit_code == 4
    gate = judge(run(part), [Limit("mia.auc", max=0.9, slice={"repetitions": 16})])
    assert (gate.exit_code, gate.rules[0].subset) == (0, "repetitions 16")


def test_a_change_cannot_be_judged_without_a_baseline() -> None:
    gate = judge(run(sized(100)), [Limit("mia.auc", max_increase=0.0)])
    assert (gate.exit_code, "--baseline" in gate.rules[0].reason) == (4, True)
