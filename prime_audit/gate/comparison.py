"""Two runs side by side."""

import math

from scipy.special import ndtri, stdtrit

from prime_audit.gate.baseline import keep
from prime_audit.gate.difference import Difference
from prime_audit.gate.regression import compare_kept
from prime_audit.gate.runs import Run, differences
from prime_audit.gate.schema import Frozen
from prime_audit.gate.select import key_of
from prime_audit.results import CI, Metric

_LEVEL = 0.95
_UNKNOWN = ("what they were made from, which one of them does not say",)


class Row(Frozen):
    """One figure of both runs; `difference` is that of `b` less that of `a`, with a 95 % interval."""

    metric: str
    method: str | None
    attack: str | None
    a: float | None
    b: float | None
    a_ci: CI | None
    b_ci: CI | None
    difference: float | None = None
    ci: CI | None = None


class Comparison(Frozen):
    """Two runs side by side; `differs` says what keeps their records from being compared."""

    a: str
    b: str
    same_study: bool
    differs: tuple[str, ...]
    rows: tuple[Row, ...]


def compare_runs(a: Run, b: Run) -> Comparison:
    """Set every figure with an interval that either run gives over all targets beside the other's.

    Args:
        a: One run.
        b: The other.

    Returns:
        The rows, those of `a` first. Differences are given where both runs were made from the same data and
        designs; they are paired by record or by target where the runs keep what that takes.
    """
    differs: tuple[str, ...] = _UNKNOWN
    same = False
    if a.identity is not None and b.identity is not None:
        differs = differences(b.identity, a.identity)
        same = a.identity.study is not None and a.identity.study == b.identity.study
    left, right = ({key_of(metric): metric for metric in _shown(run)} for run in (a, b))
    rows = tuple(
        _row(a, left.get(key), b, right.get(key), comparable=not differs)
        for key in dict.fromkeys([*left, *right])
    )
    return Comparison(
        a=a.results.study.name, b=b.results.study.name, same_study=same, differs=differs, rows=rows
    )


def _shown(run: Run) -> list[Metric]:
    controls = {method.id for method in run.results.methods if method.family == "control"}
    return [
        metric
        for metric in run.results.metrics
        if metric.target is None and metric.user is None and metric.slice is None
        if metric.method not in controls and (metric.ci is not None or metric.value is None)
        if metric.direction is not None
    ]


def _row(a: Run, one: Metric | None, b: Run, other: Metric | None, *, comparable: bool) -> Row:
    found: Difference | str = ""
    if comparable and one is not None and other is not None and None not in (one.value, other.value):
        kept = [keep(a, one, one.value)] if one.value is not None else []
        found = compare_kept(b, other, kept, a.scores.users if a.scores else {}, folded=False)
    either = one or other
    return Row(
        metric=either.id if either else "",
        method=either.method if either else None,
        attack=either.attack if either else None,
        a=one.value if one else None,
        b=other.value if other else None,
        a_ci=one.ci if one else None,
        b_ci=other.ci if other else None,
        difference=found.delta if isinstance(found, Difference) else None,
        ci=_interval(found) if isinstance(found, Difference) else None,
    )


def _interval(found: Difference) -> CI:
    tail = (1 + _LEVEL) / 2
    quantile = float(stdtrit(found.degrees, tail)) if math.isfinite(found.degrees) else float(ndtri(tail))
    low, high = found.delta - quantile * found.below, found.delta + quantile * found.above
    return CI(low=low, high=high, level=_LEVEL, how=found.how)
