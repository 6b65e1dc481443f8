"""The audit of one study: panels, metrics, curves and findings for every method and control."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from attacks import ATTACKS, Attack, missing
from attacks.statistics import TestResult, UserScores, leakage_retained, within_user_auc
from prime_audit.audit.blind import BLIND, blind_result
from prime_audit.audit.membership import (
    Audited,
    curve,
    distribution,
    membership_metrics,
    why_undefined,
)
from prime_audit.audit.panel import Attacked, Flips, Panel, Scored, attack_entry, panel_of
from prime_audit.audit.verdict import (
    Key,
    TestKey,
    alarm_of,
    control_findings,
    counterfactual_findings,
    findings,
    run_tests,
    untested,
)
from prime_audit.core import Seeds
from prime_audit.results import Curve, Distribution, Finding, Gap, Metric

MERGED = {"targets": "merged"}
CONTROL_BLIND = "control-blind"
# By method or control; read anew each time that somebody goes through it, so that it need not be in memory.
Evidences = Mapping[str, Iterable[Scored]]
SECTIONS = ("methods", "alarms", "references", "counterfactuals")


@dataclass
class AuditTables:
    """Everything the audit adds to the results."""

    metrics: list[Metric] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)
    run: list[Key] = field(default_factory=list)
    lacking: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    partial: dict[Key, tuple[int, int]] = field(default_factory=dict)  # models attacked, and all of them
    unmade: list[Gap] = field(default_factory=list)  # controls that the records do not allow
    panels: dict[TestKey, Panel] = field(default_factory=dict)  # of the methods, for a later run to compare


@dataclass(frozen=True)
class Subjects:
    """Evidence about one kind of subject.

    Attributes:
        subject: ``sharer`` or ``target``.
        methods: Evidence per method.
        alarms: Evidence per control that must show no leak (base, placebo).
        references: Evidence per control that shows what a full leak looks like (own module).
        counterfactuals: Evidence per control that shows what is not learnt from the subject's module.
        seen: The blind control: what the texts alone say of the same records, or why it could not be made;
            None where nobody asked for it.
    """

    subject: str
    methods: Evidences
    alarms: Evidences = field(default_factory=dict)
    references: Evidences = field(default_factory=dict)
    counterfactuals: Evidences = field(default_factory=dict)
    seen: Panel | str | None = None


def audit(
    groups: Sequence[Subjects],
    flips: Flips,
    attack_ids: Sequence[str],
    seeds: Seeds,
    draws: int,
    primary: str,
) -> AuditTables:
    """Attacks every method and control.

    Args:
        groups: Evidence per kind of subject.
        flips: Coin flips of every audited history.
        attack_ids: The attacks that the study names.
        seeds: Seeds of the permutations; each test has a stream of its own.
        draws: Number of permutations.
        primary: The attack that was named beforehand.

    Returns:
        Metrics, findings, curves and score distributions, in a fixed order.
    """
    tables = AuditTables()
    tests: dict[str, dict[TestKey, Panel]] = {name: {} for name in SECTIONS}
    lacking: list[TestKey] = []

    for group in groups:
        sections = (group.methods, group.alarms, group.references, group.counterfactuals)
        for name, section in zip(SECTIONS, sections, strict=True):
            panels = _attack_section(tables, group.subject, section, flips, attack_ids, primary)
            tests[name] |= {(group.subject, *key): panel for key, panel in panels.items()}
        lacking += [(group.subject, *key) for key in tables.lacking if key[0] in group.methods]
        tables.metrics += _retained(tests, group.subject, primary)
        if isinstance(group.seen, Panel):
            _describe_blind(tables, group.subject, group.seen)
            tests["alarms"][group.subject, CONTROL_BLIND, BLIND.id] = group.seen
        elif group.seen is not None:
            tables.unmade.append(Gap(id=f"{CONTROL_BLIND}/{group.subject}", reason=group.seen))
    tables.panels = tests["methods"]
    _judge(tables, tests, lacking, seeds, draws, primary)
    return tables


def _attack_section(
    tables: AuditTables,
    subject: str,
    section: Evidences,
    flips: Flips,
    attack_ids: Sequence[str],
    primary: str,
) -> dict[Key, Panel]:
    """Attacks a section's methods one after the other; adds metrics, curves and distributions of each."""

    def ask(entry: Scored, attack: Attack) -> list[Attacked]:
        return attack_entry(entry, flips, attack, ATTACKS["loss"])

    panels = {}
    for method, scored in section.items():
        for name, rows in attack_method(tables, method, scored, attack_ids, ask).items():
            attack = attack_of(name)
            panel = panel_of(rows, flips, attack)
            audited = Audited(method, attack, subject, panel.oriented)
            tables.run.append((method, name))
            tables.metrics += membership_metrics(audited, panel, per_user=name == primary)
            tables.metrics += _merged_only(audited, rows, flips)
            tables.curves += [found for found in [curve(audited, panel)] if found]
            tables.distributions += [found for found in [distribution(audited, panel)] if found]
            panels[method, name] = panel
    return panels


def _retained(tests: Mapping[str, Mapping[TestKey, Panel]], subject: str, primary: str) -> list[Metric]:
    """How much of the own modules' leak each merge keeps, by the primary attack."""
    own = next(
        (panel for key, panel in tests["references"].items() if key[0] == subject and key[2] == primary), None
    )
    if own is None or why_undefined(own):
        return []
    found = []
    for (about, method, name), panel in tests["methods"].items():
        if about == subject and name == primary and not why_undefined(panel):
            audited = Audited(method, attack_of(name), subject, panel.oriented)
            # Both over the people whom both are about; a primary attack may not reach every target.
            merged, alone = _common(panel.users, own.users)
            kept = leakage_retained(within_user_auc(merged), within_user_auc(alone))
            found.append(audited.metric("mia.retained", kept, panel, unit="ratio of probits"))
    return found


def _common(
    first: Sequence[UserScores], second: Sequence[UserScores]
) -> tuple[list[UserScores], list[UserScores]]:
    names = {user.user for user in first} & {user.user for user in second}
    return [user for user in first if user.user in names], [user for user in second if user.user in names]


def _describe_blind(tables: AuditTables, subject: str, seen: Panel) -> None:
    """Adds the figures of the blind control, which is no attack on a model."""
    audited = Audited(CONTROL_BLIND, BLIND, subject)
    tables.run.append((CONTROL_BLIND, BLIND.id))
    tables.metrics += membership_metrics(audited, seen, per_user=False)
    tables.curves += [found for found in [curve(audited, seen)] if found]


def _judge(
    tables: AuditTables,
    tests: Mapping[str, Mapping[TestKey, Panel]],
    lacking: Sequence[TestKey],
    seeds: Seeds,
    draws: int,
    primary: str,
) -> None:
    """One test over all methods, attacks and subjects, and one over each kind of control."""
    tested = {
        name: run_tests(
            {key: panel for key, panel in tests[name].items() if not why_undefined(panel)},
            seeds.generator("permutations", name),
            draws,
            two_sided=name in ("alarms", "counterfactuals"),
        )
        for name in SECTIONS
    }
    # The classifier has read other records' labels, which widens what chance alone gives.
    tested["alarms"] = {
        key: blind_result(result) if key[2] == BLIND.id else result
        for key, result in tested["alarms"].items()
    }
    for name, results in tested.items():
        tables.metrics += _p_values(results, tests[name])
    tables.findings += findings(tested["methods"], primary, alarm_of(tested["alarms"]))
    tables.findings += untested(tests["methods"], tested["methods"], lacking)
    tables.findings += control_findings(tested["alarms"])
    tables.findings += findings(tested["references"], primary, "")
    tables.findings += counterfactual_findings(tested["counterfactuals"])


def attack_method(
    tables: AuditTables,
    method: str,
    scored: Iterable[Scored],
    attack_ids: Sequence[str],
    ask: Callable[[Scored, Attack], list[Attacked]],
) -> dict[str, list[Attacked]]:
    """Has every attack score a method's records; the evidence is gone through once, model by model.

    Args:
        tables: Gets to know which attacks lack the evidence that they need, for all models or for some.
        method: The method or control.
        scored: Evidence about it, which is not kept.
        attack_ids: The attacks.
        ask: Has an attack score an entry that holds what it needs.

    Returns:
        What the attacks say, for those that could score anything.
    """
    rows: dict[str, list[Attacked]] = {name: [] for name in attack_ids}
    lacking: dict[str, set[str]] = {name: set() for name in attack_ids}
    targets = set()
    for entry in scored:
        targets.add(entry.target)
        for name in attack_ids:
            attack = attack_of(name)
            if parts := missing(attack, entry.evidence):
                lacking[name].update(parts)
            else:
                rows[name] += ask(entry, attack)
    for name in attack_ids:
        reached = len({row.target for row in rows[name]})
        if not reached:
            tables.lacking[method, name] = tuple(sorted(lacking[name]))
        elif reached < len(targets):
            tables.partial[method, name] = (reached, len(targets))
    return {name: found for name, found in rows.items() if found}


def attack_of(name: str) -> Attack:
    """Returns an attack, or the blind control, by its name."""
    return BLIND if name == BLIND.id else ATTACKS[name]


def _merged_only(audited: Audited, rows: Sequence[Attacked], flips: Flips) -> list[Metric]:
    """The same figures over the merged pairs alone: no fall-back to the base, and a weight other than 0."""
    merged = [row for row in rows if row.merged]
    if len(merged) == len(rows) or not merged:
        return []
    metrics = membership_metrics(audited, panel_of(merged, flips, audited.attack), per_user=False)
    return [metric.model_copy(update={"slice": MERGED}) for metric in metrics]


def _p_values(tested: Mapping[TestKey, TestResult], panels: Mapping[TestKey, Panel]) -> list[Metric]:
    return [
        Metric.model_validate(
            {
                "id": "mia.p",
                "method": method,
                "attack": attack,
                "adversary": Audited(
                    method, attack_of(attack), subject, panels[subject, method, attack].oriented
                ).adversary,
                "reference": "base" if "reference" in attack_of(attack).needs else None,
                "subject": subject,
                "value": result.p,
                "unit": "probability",
            }
        )
        for (subject, method, attack), result in tested.items()
    ]
