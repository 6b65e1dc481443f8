"""Judges a run by its rules: absolute limits one by one, comparisons with a baseline together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from attacks.statistics import holm
from prime_audit.core import printable, read_json, write_json
from prime_audit.errors import ConfigError
from prime_audit.gate.baseline import Baseline
from prime_audit.gate.difference import LEVEL, Difference
from prime_audit.gate.limits import keeps
from prime_audit.gate.regression import compare_metric
from prime_audit.gate.runs import Run, differences
from prime_audit.gate.schema import Against, Gate, Judgement, Rule, Side, Verdict
from prime_audit.gate.select import MERGED, answering, sides, subset_of
from prime_audit.results import Metric, plain, read_model

_NO_BASELINE = "no baseline was given: name one with --baseline"


@dataclass(frozen=True)
class _Tested:
    """A comparison that waits for its p-value to be corrected."""

    place: int
    rule: Rule
    metric: Metric
    side: Side
    limit: float
    found: Difference

    @property
    def p(self) -> float:
        return self.found.p(self.limit, increase=self.side == "max_increase")


def judge(run: Run, rules: Sequence[Rule], baseline: Baseline | None = None) -> Gate:
    """Set a run against absolute limits and against a baseline.

    Absolute limits are judged on the unfavourable end of the interval, each by itself: all of them must hold,
    so none needs a correction. A change from the baseline breaks a rule where a one-sided test at 5 % says
    that it is larger than the rule allows. The comparisons of the primary rule are tested at that level
    whatever else is asked; those of all other rules are corrected together (Holm), so that one more rule
    takes nothing from the primary one.

    Args:
        run: A run.
        rules: The rules; each names a metric and may narrow it to a method and an attack.
        baseline: What the run is compared with.

    Returns:
        One judgement per limit and metric. A rule that nothing answers is an error; so is the whole gate of a
        run that is not complete.

    Raises:
        ConfigError: A rule has no limit, or several rules are primary.
    """
    _check(rules)
    against = _against(run, baseline)
    found: list[Judgement | None] = []
    waiting: list[_Tested] = []
    for rule in rules:
        for side, limit in sides(rule):
            metrics = [m for m in answering(run.results, rule) if side in ("min", "max") or m.slice != MERGED]
            if not metrics:
                found.append(_missing(rule, cast("Side", side), limit))
            for metric in metrics:
                entry = _judge_metric(run, rule, metric, cast("Side", side), limit, baseline, against)
                if isinstance(entry, Difference):
                    waiting.append(_Tested(len(found), rule, metric, cast("Side", side), limit, entry))
                found.append(entry if isinstance(entry, Judgement) else None)
    for family in ([t for t in waiting if t.rule.primary], [t for t in waiting if not t.rule.primary]):
        for tested, p in zip(family, holm([one.p for one in family]), strict=True):
            found[tested.place] = _tested(tested, p, corrected=len(family) > 1)
    judged = tuple(entry for entry in found if entry is not None)
    return Gate(verdict=_overall(run, judged), rules=judged, baseline=against)


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


def _check(rules: Sequence[Rule]) -> None:
    for rule in rules:
        if not sides(rule):
            raise ConfigError(
                f"gate: the rule for '{printable(rule.metric)}' has no limit", hint="give it min or max"
            )
    if sum(rule.primary for rule in rules) > 1:
        raise ConfigError("gate: only one rule can be primary", hint="name the one that matters most")


def _overall(run: Run, judged: Sequence[Judgement]) -> Verdict:
    verdicts = {entry.verdict for entry in judged}
    if "fail" in verdicts:
        return "fail"
    if "error" in verdicts or (judged and run.results.status != "complete"):
        return "error"
    return "warn" if "warn" in verdicts else "pass"


def _against(run: Run, baseline: Baseline | None) -> Against | None:
    if baseline is None:
        return None
    if run.identity is None:
        differs: tuple[str, ...] = ("the run does not say what it was made from",)
    else:
        differs = differences(run.identity, baseline.identity)
    same = run.identity is not None and run.identity.study == baseline.identity.study
    reason = baseline.history[-1].reason
    return Against(
        digest=baseline.digest, runs=len(baseline.runs), reason=reason, same_study=same, differs=differs
    )


def _judge_metric(
    run: Run,
    rule: Rule,
    metric: Metric,
    side: Side,
    limit: float,
    baseline: Baseline | None,
    against: Against | None,
) -> Judgement | Difference:
    if metric.value is None:
        return _unanswered(rule, metric, side, limit, f"{metric.status}: {metric.reason}")
    if few := _too_few(rule, metric):
        return _judgement(rule, metric, side, limit, "error", few)
    if side in ("min", "max"):
        kept = keeps(metric, "max" if side == "max" else "min", limit)
        more = {"bound": kept.bound, "needed": kept.needed}
        return _judgement(rule, metric, side, limit, kept.verdict, kept.reason, **more)
    if baseline is None or against is None:
        return _judgement(rule, metric, side, limit, "error", _NO_BASELINE)
    if against.differs:
        why = f"not comparable with the baseline, which differs in {', '.join(against.differs)}"
        return _judgement(rule, metric, side, limit, "error", why)
    found = compare_metric(run, metric, baseline)
    return _judgement(rule, metric, side, limit, "error", found) if isinstance(found, str) else found


def _too_few(rule: Rule, metric: Metric) -> str:
    if rule.min_n is None:
        return ""
    count = metric.n.scored if metric.n is not None else None
    if count is None:
        return f"it does not say how many records it rests on, and the rule asks for {rule.min_n}"
    return f"it rests on {count} records, and the rule asks for {rule.min_n}" if count < rule.min_n else ""


def _tested(tested: _Tested, p: float, *, corrected: bool) -> Judgement:
    """Say what a comparison came to."""
    found, up = tested.found, tested.side == "max_increase"
    change = found.delta if up else -found.delta
    beyond = change > tested.limit
    word = "rise" if up else "drop"
    how = f"p = {p:.3g}" + (", corrected for several rules" if corrected else "")
    verdict: Verdict = "pass"
    if beyond and p <= LEVEL:
        verdict = "fail"
        reason = f"it {'rose' if up else 'dropped'} by more than the rule allows ({how})"
        if found.runs == 1:
            reason = (
                f"this run differs from the baseline by more than the rule allows ({how}); the baseline has "
                "one training seed, which cannot tell how much of that is chance in training"
            )
    elif beyond:
        reason = f"the {word} is larger than allowed, and chance alone gives as much ({how})"
    elif found.same:
        reason = "every record ranks as in the baseline" if tested.metric.id == "mia.auc" else "no change"
    else:
        reason = f"no {word} beyond what the rule allows"
    return _judgement(
        tested.rule,
        tested.metric,
        tested.side,
        tested.limit,
        verdict,
        reason,
        baseline=found.baseline,
        delta=found.delta,
        p=p,
        detectable=None if found.same else found.detectable(tested.limit, increase=up),
        test=found.how,
    )


def _unanswered(rule: Rule, metric: Metric, side: Side, limit: float, reason: str) -> Judgement:
    return _judgement(rule, metric, side, limit, rule.on_missing, reason)


def _missing(rule: Rule, side: Side, limit: float) -> Judgement:
    return Judgement(
        metric=rule.metric,
        method=rule.method,
        attack=rule.attack,
        subset="all targets" if rule.slice is None else ", ".join(f"{k} {v}" for k, v in rule.slice.items()),
        side=side,
        limit=limit,
        value=None,
        ci=None,
        bound=None,
        severity=rule.severity,
        verdict=rule.on_missing,
        reason="no such metric in this run",
    )


def _judgement(
    rule: Rule, metric: Metric, side: Side, limit: float, verdict: Verdict, reason: str, **more: object
) -> Judgement:
    """One row of the gate; a rule that only warns turns a failure into a warning, never an error."""
    return Judgement.model_validate(
        {
            "metric": metric.id,
            "method": metric.method,
            "attack": metric.attack,
            "subset": subset_of(metric),
            "side": side,
            "limit": limit,
            "value": metric.value,
            "ci": metric.ci,
            "bound": None,
            "severity": rule.severity,
            "verdict": "warn" if verdict == "fail" and rule.severity == "warn" else verdict,
            "reason": reason,
            **more,
        }
    )
