"""Which metrics of a run a rule is about."""

from collections.abc import Iterator

from prime_audit.gate.schema import Rule
from prime_audit.results import Metric, Results

MERGED = {"targets": "merged"}
Key = tuple[object, ...]


def answering(results: Results, rule: Rule) -> Iterator[Metric]:
    """Find the metrics over all targets and users that a rule is about.

    Args:
        results: A run's results.
        rule: The rule. Without a method it covers every method except the controls.

    Yields:
        The metrics; a leak over merged targets alone too, where the rule names no part of the records.
    """
    controls = {method.id for method in results.methods if method.family == "control"}
    for metric in results.metrics:
        if metric.id != rule.metric or metric.target is not None or metric.user is not None:
            continue
        if rule.attack is not None and metric.attack != rule.attack:
            continue
        if metric.method != rule.method if rule.method is not None else metric.method in controls:
            continue
        if rule.slice is not None:
            if metric.slice == dict(rule.slice):
                yield metric
        elif metric.slice is None or (metric.slice == MERGED and metric.direction == "lower"):
            yield metric


def compared(results: Results, rule: Rule) -> list[Metric]:
    """Find the metrics that a rule sets against a baseline: not those over merged targets alone."""
    return [metric for metric in answering(results, rule) if metric.slice != MERGED]


def sides(rule: Rule) -> list[tuple[str, float]]:
    """List the limits that a rule states, by the name of their key."""
    named = ("min", "max", "max_increase", "max_decrease")
    return [(name, value) for name in named if (value := getattr(rule, name)) is not None]


def key_of(metric: Metric) -> Key:
    """Return what names a metric in every run; who can run an attack may differ with the sign of a weight."""
    return (metric.id, metric.method, metric.attack, metric.subject, part_of(metric))


def part_of(metric: Metric) -> tuple[tuple[str, str], ...]:
    """Return the part of the records that a metric is about, in a fixed order."""
    return tuple(sorted((name, str(value)) for name, value in (metric.slice or {}).items()))


def subset_of(metric: Metric) -> str:
    """Say in words what a metric is about."""
    if metric.slice is None:
        return "all targets"
    if metric.slice == MERGED:
        return "merged targets"
    return ", ".join(f"{name} {value}" for name, value in part_of(metric))


def units_of(results: Results, metric: Metric) -> dict[str, float]:
    """Return a metric's value per target, where the run gives one for each."""
    wanted = (metric.id, metric.method, metric.attack, metric.subject, part_of(metric))
    return {
        one.target: one.value
        for one in results.metrics
        if one.target is not None and one.user is None and one.value is not None and key_of(one) == wanted
    }
