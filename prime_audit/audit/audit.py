"""The audit of one study: panels, metrics, curves and findings for every method and control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attacks import ATTACKS
from attacks.statistics import TestResult
from prime_audit.audit.membership import (
    Audited,
    curve,
    distribution,
    membership_metrics,
    why_undefined,
)
from prime_audit.audit.panel import Flips, Panel, Scored, build_panel
from prime_audit.audit.verdict import Key, alarm_of, control_findings, findings, run_tests
from prime_audit.core import Seeds
from prime_audit.results import Curve, Distribution, Finding, Metric

PRIMARY = "reference"
MERGED = {"targets": "merged"}


@dataclass
class AuditTables:
    """Everything the audit adds to the results."""

    metrics: list[Metric] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)
    run: list[Key] = field(default_factory=list)


@dataclass(frozen=True)
class Subjects:
    """Evidence about one kind of subject.

    Attributes:
        subject: ``sharer`` or ``target``.
        methods: Evidence per method.
        alarms: Evidence per control that must show no leak (base, placebo).
        references: Evidence per control that shows what a full leak looks like (own module).
    """

    subject: str
    methods: Mapping[str, Sequence[Scored]]
    alarms: Mapping[str, Sequence[Scored]] = field(default_factory=dict)
    references: Mapping[str, Sequence[Scored]] = field(default_factory=dict)


def audit(
    groups: Sequence[Subjects], flips: Flips, attack_ids: Sequence[str], seeds: Seeds, draws: int
) -> AuditTables:
    """Attacks every method and control.

    Args:
        groups: Evidence per kind of subject.
        flips: Coin flips of every audited history.
        attack_ids: The attacks that the study names.
        seeds: Seeds of the permutations; each test has a stream of its own.
        draws: Number of permutations.

    Returns:
        Metrics, findings, curves and score distributions, in a fixed order.
    """
    tables = AuditTables()
    for group in groups:
        _audit_group(tables, group, flips, attack_ids, seeds, draws)
    return tables


def _audit_group(
    tables: AuditTables,
    group: Subjects,
    flips: Flips,
    attack_ids: Sequence[str],
    seeds: Seeds,
    draws: int,
) -> None:
    sections = (group.methods, group.alarms, group.references)
    panels = [_panels(section, flips, attack_ids) for section in sections]
    for section, part in zip(sections, panels, strict=True):
        for (method, attack), panel in part.items():
            audited = Audited(method, ATTACKS[attack], group.subject)
            tables.run.append((method, attack))
            tables.metrics += membership_metrics(audited, panel, per_user=attack == PRIMARY)
            tables.metrics += _merged_only(audited, section[method], flips)
            tables.curves += [found for found in [curve(audited, panel)] if found]
            tables.distributions += [found for found in [distribution(audited, panel)] if found]
    names = ("methods", "alarms", "references")
    tested = [
        run_tests(
            _defined(part),
            seeds.generator("permutations", group.subject, name),
            draws,
            two_sided=name == "alarms",
        )
        for name, part in zip(names, panels, strict=True)
    ]
    for result in tested:
        tables.metrics += _p_values(result, group.subject)
    alarm = alarm_of(tested[1])
    tables.findings += findings(tested[0], group.subject, PRIMARY, alarm)
    tables.findings += control_findings(tested[1], group.subject)
    tables.findings += findings(tested[2], group.subject, PRIMARY, "")


def _panels(
    section: Mapping[str, Sequence[Scored]], flips: Flips, attack_ids: Sequence[str]
) -> dict[Key, Panel]:
    panels = {}
    for method, scored in section.items():
        for attack_id in attack_ids:
            attack = ATTACKS[attack_id]
            if "reference" in attack.needs and all(entry.evidence.reference is None for entry in scored):
                continue
            panels[method, attack_id] = build_panel(scored, flips, attack, ATTACKS["loss"])
    return panels


def _defined(panels: Mapping[Key, Panel]) -> dict[Key, Panel]:
    return {key: panel for key, panel in panels.items() if not why_undefined(panel)}


def _merged_only(audited: Audited, scored: Sequence[Scored], flips: Flips) -> list[Metric]:
    """The same AUC over the targets that did not fall back to the base, where some did."""
    merged = [entry for entry in scored if entry.merged]
    if len(merged) == len(scored) or not merged:
        return []
    panel = build_panel(merged, flips, audited.attack, ATTACKS["loss"])
    metrics = membership_metrics(audited, panel, per_user=False)
    return [metric.model_copy(update={"slice": MERGED}) for metric in metrics]


def _p_values(tested: Mapping[Key, TestResult], subject: str) -> list[Metric]:
    return [
        Metric.model_validate(
            {
                "id": "mia.p",
                "method": method,
                "attack": attack,
                "adversary": ATTACKS[attack].threat_model,
                "reference": "base" if "reference" in ATTACKS[attack].needs else None,
                "subject": subject,
                "value": result.p,
                "unit": "probability",
            }
        )
        for (method, attack), result in tested.items()
    ]
