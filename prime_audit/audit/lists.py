"""What may be said about two lists of records whose membership nobody drew by a coin.

An attack can tell such lists apart because they differ, whatever the model has learnt. So it is set against
the blind control on the same records, pair by pair, and what is left is called a difference, never a leak.
Where membership was drawn by a coin, the randomisation test speaks instead, and the controls are alarms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.special import ndtri

from attacks import ATTACKS, Attack
from attacks.statistics import Estimate, TestResult, paired_auc_difference, within_user_auc
from prime_audit.audit.audit import CONTROL_BLIND, AuditTables
from prime_audit.audit.blind import BLIND, SPREAD, blind_result
from prime_audit.audit.membership import (
    Audited,
    curve,
    distribution,
    interval,
    membership_metrics,
    why_undefined,
)
from prime_audit.audit.panel import Panel
from prime_audit.audit.verdict import Key, alarm_of, control_findings, findings, run_tests, untested
from prime_audit.core import Seeds
from prime_audit.results import Finding, Metric

NO_TEXT: Final = "scores alone cannot tell a leak from a difference between the two lists"
_POWER: Final = 0.9
# Nobody's module is at stake here; the tests want a word for whom they are about.
_ABOUT: Final = "sharer"


@dataclass(frozen=True)
class ListedPanels:
    """Everything that was attacked about two lists.

    Attributes:
        methods: Panels of the audited model by attack.
        alarms: Panels of models that hold nothing of the members, by control and attack.
        seen: Panel of the blind control; None without texts, or where it could not be made.
        known: Attacks that are not registered, such as a column of scores.
    """

    methods: Mapping[Key, Panel]
    alarms: Mapping[Key, Panel] = field(default_factory=dict)
    seen: Panel | None = None
    known: Mapping[str, Attack] = field(default_factory=dict)

    def attack(self, name: str) -> Attack:
        """Returns an attack by its name."""
        return BLIND if name == BLIND.id else self.known.get(name) or ATTACKS[name]

    @property
    def controls(self) -> dict[Key, Panel]:
        """The alarms, and the blind control where there is one."""
        blind = {} if self.seen is None else {(CONTROL_BLIND, BLIND.id): self.seen}
        return {**self.alarms, **blind}


def audit_lists(
    panels: ListedPanels, primary: str, *, randomised: bool, seeds: Seeds, draws: int, why: str = NO_TEXT
) -> AuditTables:
    """Describes and judges attacks on two lists.

    Args:
        panels: The scores.
        primary: The attack that was named beforehand.
        randomised: Whether a coin drew the membership of each record.
        seeds: Seeds of the permutations.
        draws: Number of permutations.
        why: Why there is no blind control, where there is none.

    Returns:
        Metrics, curves, distributions and findings.
    """
    tables = AuditTables()
    everything = {**panels.methods, **panels.controls}
    for (method, name), panel in everything.items():
        audited = Audited(method, panels.attack(name), _ABOUT)
        tables.run.append((method, name))
        one_by_one = name == primary and len(panel.users) > 1
        tables.metrics += membership_metrics(audited, panel, per_user=one_by_one)
        tables.curves += [found for found in [curve(audited, panel)] if found]
        tables.distributions += [found for found in [distribution(audited, panel)] if found]
        if panels.seen is not None and name != BLIND.id:
            tables.metrics.append(above_blind(audited, panel, panels.seen))
    if randomised:
        _judge_randomised(tables, panels, primary, seeds, draws)
    else:
        judged = {**panels.methods, **panels.alarms}
        tables.findings += observed_findings(judged, _ABOUT, primary, panels.seen, why)
    return tables


def above_blind(audited: Audited, panel: Panel, seen: Panel) -> Metric:
    """Returns how far an attack's AUC lies above the blind control's, paired record by record.

    Args:
        audited: Method, attack and subject.
        panel: The attack's scores.
        seen: The blind control's.

    Returns:
        The metric `mia.auc_above_blind`.
    """
    reason = why_undefined(panel) or unpaired(panel, seen)
    found = Estimate(None, None, reason) if reason else paired_auc_difference(panel.users, seen.users)
    return audited.metric("mia.auc_above_blind", found, panel, unit="difference of probabilities")


def unpaired(panel: Panel, seen: Panel) -> str:
    """Returns why two panels are not about the same records, or an empty string."""
    members = {user.user: user.member for user in seen.users}
    same = len(panel.users) == len(members) and all(
        user.user in members and np.array_equal(user.member, members[user.user]) for user in panel.users
    )
    return "" if same else f"it scores {panel.scored} records, and the blind control {seen.scored}"


def observed_findings(
    panels: Mapping[Key, Panel], subject: str, primary: str, seen: Panel | None, why: str = NO_TEXT
) -> list[Finding]:
    """Words what the primary attack shows beyond what the texts alone show, one finding per method.

    Args:
        panels: Panels by method and attack; the blind control's own is passed over.
        subject: Whom they are about.
        primary: The attack that was named beforehand; of a method without it, the first attack is judged.
        seen: The blind control on the same records; None without one.
        why: Why there is none.

    Returns:
        ``difference`` where the attack lies above guessing and above the blind control, each by an interval
        of 95 %; ``none detected`` or ``inconclusive`` otherwise, and never ``leak``.
    """
    by_method: dict[str, dict[str, Panel]] = {}
    for (method, attack), panel in panels.items():
        if attack != BLIND.id:
            by_method.setdefault(method, {})[attack] = panel
    found = []
    for method, attacks in by_method.items():
        name = primary if primary in attacks else next(iter(attacks))
        fields = _observed(attacks[name], seen, why)
        found.append(Finding.model_validate({"method": method, "subject": subject, "attack": name, **fields}))
    return found


def _observed(panel: Panel, seen: Panel | None, why: str) -> dict[str, object]:
    """Verdict, reason and the smallest AUC that would have been seen, for one attack."""
    reason = why_undefined(panel) or (why if seen is None else why_undefined(seen) or unpaired(panel, seen))
    if reason or seen is None:
        return {"verdict": "inconclusive", "reason": reason}
    own, blind = within_user_auc(panel.users), within_user_auc(seen.users)
    if panel.no_interval and own.value is not None and blind.value is not None:
        beside = f"the attack reaches an AUC of {own.value:.3f}, the texts alone {blind.value:.3f}"
        return {"verdict": "inconclusive", "reason": f"{beside}; {panel.no_interval}"}
    more = paired_auc_difference(panel.users, seen.users)
    if own.value is None or blind.value is None or own.interval is None or more.interval is None:
        short = own.reason or more.reason or blind.reason
        return {"verdict": "inconclusive", "reason": f"too few records: {short}"}
    texts = f"the texts alone reach an AUC of {blind.value:.3f}"
    beyond = f"{texts}, the attack {own.value:.3f}; the difference has a {_range(more)}"
    if more.interval.low > 0 and own.interval.low > 0.5:
        return {"verdict": "difference", "reason": beyond}
    if own.interval.high < 0.5:
        turned = f"the attack ranks members below non-members (AUC {own.value:.3f})"
        return {"verdict": "inconclusive", "reason": f"{turned}: are the lists, or the direction, swapped?"}
    if _fires(blind):
        return {
            "verdict": "inconclusive",
            "reason": f"{texts}, so the lists differ by themselves; the attack adds nothing that is sure "
            f"({_range(more)})",
        }
    # The half-width is 1.96 standard errors of the difference; power .9 asks for another 1.28.
    error = (more.interval.high - more.interval.low) / 2 / float(ndtri((1 + more.interval.level) / 2))
    visible = max(0.5, blind.value) + float(ndtri((1 + more.interval.level) / 2) + ndtri(_POWER)) * error
    if visible > 1:
        return {"verdict": "inconclusive", "reason": "too few records: no difference would have been seen"}
    return {"verdict": "none detected", "reason": beyond, "could_have_seen": visible}


def _fires(blind: Estimate) -> bool:
    """Whether the texts alone tell the lists apart; the interval knows nothing of the wider null."""
    if blind.value is None or blind.interval is None:
        return False
    return blind.value - SPREAD * (blind.value - blind.interval.low) > 0.5


def _range(estimate: Estimate) -> str:
    found = interval(estimate)
    return "no interval" if found is None else f"95 % interval of {found.low:.3f} to {found.high:.3f}"


def _judge_randomised(
    tables: AuditTables, panels: ListedPanels, primary: str, seeds: Seeds, draws: int
) -> None:
    """One test over all attacks on the model, and one over the controls, which must show nothing."""
    sections = {"methods": panels.methods, "alarms": panels.controls}
    tested = {
        name: run_tests(
            {(_ABOUT, *key): panel for key, panel in section.items() if not why_undefined(panel)},
            seeds.generator("permutations", name),
            draws,
            two_sided=name == "alarms",
        )
        for name, section in sections.items()
    }
    # Its scores have read the membership of other records, which the permutations do not know.
    tested["alarms"] = {
        key: blind_result(result) if key[2] == BLIND.id else result
        for key, result in tested["alarms"].items()
    }
    for name, results in tested.items():
        tables.metrics += [
            _p_value(panels, key[1:], sections[name], result) for key, result in results.items()
        ]
    asked = [(_ABOUT, *key) for key in panels.methods]
    tables.findings += findings(tested["methods"], primary, alarm_of(tested["alarms"]))
    tables.findings += untested(asked, tested["methods"])
    tables.findings += control_findings(tested["alarms"])


def _p_value(panels: ListedPanels, key: Key, section: Mapping[Key, Panel], result: TestResult) -> Metric:
    audited = Audited(key[0], panels.attack(key[1]), _ABOUT)
    return audited.metric("mia.p", Estimate(result.p, None, ""), section[key], direction=None)
