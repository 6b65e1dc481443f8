"""Absolute limits, judged on the unfavourable end of the interval."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from prime_audit.core import printable, read_json, write_json
from prime_audit.errors import ConfigError
from prime_audit.gate.schema import Gate, Judgement, Rule, Verdict
from prime_audit.results import Metric, Results, plain, read_model

MERGED = {"targets": "merged"}


def judge(results: Results, rules: Sequence[Rule]) -> Gate:
    """Set the results against absolute limits.

    A `max` must lie above the whole interval and a `min` below it: an estimate inside the limit with an
    interval that reaches over it fails, because absence of evidence is not evidence of absence. An AUC is
    judged on its distance from 1/2 to either side. A rule without a method covers every method except the
    controls; a leak is judged over all targets and, where given, over
    merged targets alone.

    Args:
        results: A run's results.
        rules: The limits; each names a metric and may narrow it to a method and an attack.

    Returns:
        One judgement per limit and metric. A rule that nothing answers is an error; so is the whole gate of a
        run that is not complete.

    Raises:
        ConfigError: A rule has neither a `min` nor a `max`.
    """
    judgements = [entry for rule in rules for entry in _judge_rule(results, rule)]
    verdicts = {entry.verdict for entry in judgements}
    overall: Verdict = "pass"
    if "fail" in verdicts:
        overall = "fail"
    elif "error" in verdicts or (rules and results.status != "complete"):
        overall = "error"
    return Gate(verdict=overall, rules=tuple(judgements))


def write_gate(path: Path, gate: Gate) -> None:
    """Write gate.json.

    Args:
        path: Where the file goes.
        gate: The verdict and its rules.
    """
    write_json(path, plain(gate))


def read_gate(path: Path) -> Gate:
    """Read and check gate.json.

    Args:
        path: The file.

    Returns:
        The gate.

    Raises:
        DataError: The file is missing or does not fit.
    """
    return read_model(Gate, read_json(path), path)


def _judge_rule(results: Results, rule: Rule) -> list[Judgement]:
    sides = _sides(rule)
    if not sides:
        raise ConfigError(
            f"gate: the rule for '{printable(rule.metric)}' has no limit", hint="give it min or max"
        )
    metrics = list(_answering(results, rule))
    if not metrics:
        return [_missing(rule, side, limit) for side, limit in sides]
    return [_judge_metric(metric, side, limit) for metric in metrics for side, limit in sides]


def _sides(rule: Rule) -> list[tuple[Literal["min", "max"], float]]:
    sides: list[tuple[Literal["min", "max"], float]] = []
    if rule.min is not None:
        sides.append(("min", rule.min))
    if rule.max is not None:
        sides.append(("max", rule.max))
    return sides


def _answering(results: Results, rule: Rule) -> Iterable[Metric]:
    controls = {method.id for method in results.methods if method.family == "control"}
    for metric in results.metrics:
        if metric.id != rule.metric or metric.target is not None or metric.user is not None:
            continue
        if rule.attack is not None and metric.attack != rule.attack:
            continue
        if metric.method != rule.method if rule.method is not None else metric.method in controls:
            continue
        if metric.slice is None or (metric.slice == MERGED and metric.direction == "lower"):
            yield metric


def _missing(rule: Rule, side: Literal["min", "max"], limit: float) -> Judgement:
    return Judgement(
        metric=rule.metric,
        method=rule.method,
        attack=rule.attack,
        subset="all targets",
        side=side,
        limit=limit,
        value=None,
        ci=None,
        bound=None,
        verdict="error",
        reason="no such metric in this run",
    )


def _judge_metric(metric: Metric, side: Literal["min", "max"], limit: float) -> Judgement:
    bound = _unfavourable(metric, side)
    verdict, reason = _compare(metric, side, limit, bound)
    return Judgement(
        metric=metric.id,
        method=metric.method,
        attack=metric.attack,
        subset="merged targets" if metric.slice else "all targets",
        side=side,
        limit=limit,
        value=metric.value,
        ci=metric.ci,
        bound=bound,
        verdict=verdict,
        reason=reason,
    )


def _unfavourable(metric: Metric, side: Literal["min", "max"]) -> float | None:
    """The end of the interval that the limit is judged on."""
    if metric.ci is None:
        return None
    if side == "min":
        return metric.ci.low
    # An attack that ranks members last tells them apart as well as one that ranks them first.
    return max(metric.ci.high, 1 - metric.ci.low) if _is_auc(metric) else metric.ci.high


def _is_auc(metric: Metric) -> bool:
    return metric.id.startswith("mia.auc")


def _compare(
    metric: Metric, side: Literal["min", "max"], limit: float, bound: float | None
) -> tuple[Verdict, str]:
    if metric.value is None:
        return "error", f"{metric.status}: {metric.reason}"
    if bound is None:
        return "error", "there is no interval to judge on"
    end, over = ("upper", "above") if side == "max" else ("lower", "below")
    sign = 1.0 if side == "max" else -1.0
    if sign * (bound - limit) <= 0:
        return "pass", f"the {end} end of the interval keeps the limit"
    value = max(metric.value, 1 - metric.value) if side == "max" and _is_auc(metric) else metric.value
    if sign * (value - limit) > 0:
        return "fail", f"the value itself lies {over} the limit"
    return "fail", f"the value keeps the limit, its interval reaches {over} it: more records would be needed"
