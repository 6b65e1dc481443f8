"""Membership metrics of one attack on one method (research of record: the within-user design).

Members are compared only with non-members of the same user: mid-rank AUC per (target, user) pair, averaged
over a user's targets, then over users. Pooled figures stand beside it and say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks import Attack
from attacks.statistics import (
    Estimate,
    UserScores,
    auc,
    mean_interval,
    nonmembers_needed,
    roc,
    sharers_interval,
    standardised_gap,
    tpr_at_fpr,
    within_user_auc,
)
from prime_audit.audit.panel import Panel
from prime_audit.results import CI, Curve, Distribution, Metric, N

RATES = (0.1, 0.01)
# With more scores that are another attack's, the figure would be that attack's.
MOST_BACKED_OFF = 0.2
CURVE_POINTS = 101
BINS = 20


@dataclass(frozen=True)
class Audited:
    """Whose privacy a panel is about: the method, the attack and the subject."""

    method: str
    attack: Attack
    subject: str
    oriented: bool = False

    @property
    def adversary(self) -> str:
        """The weakest adversary that can do this: turning scores by sign(w) takes one who knows w."""
        return "A1" if self.oriented and self.attack.threat_model > "A1" else self.attack.threat_model

    def metric(self, name: str, estimate: Estimate, panel: Panel, **more: object) -> Metric:
        """Turns an estimate into a metric with its counts."""
        if panel.no_interval and (estimate.interval is not None or "sharers_ci" in more):
            estimate = Estimate(estimate.value, None, estimate.reason or panel.no_interval)
            more = {**more, "sharers_ci": None, "reason": estimate.reason}
        value = estimate.value
        fields = {
            "id": name,
            "method": self.method,
            "attack": self.attack.id,
            "adversary": self.adversary,
            "reference": "base" if "reference" in self.attack.needs else None,
            "subject": self.subject,
            "value": value,
            "status": "undefined" if value is None else "ok",
            "reason": estimate.reason or ("" if value is not None else "not enough records"),
            "ci": interval(estimate),
            "n": counts(panel),
            "direction": "lower",
            "unit": "probability",
        }
        return Metric.model_validate({**fields, **more})


def interval(estimate: Estimate) -> CI | None:
    """Returns an estimate's interval as the results hold it."""
    found = estimate.interval
    return None if found is None else CI(low=found.low, high=found.high, level=found.level, how=found.how)


def counts(panel: Panel) -> N:
    """Returns what a panel's figures rest on."""
    return N(
        attempted=panel.attempted,
        scored=panel.scored,
        failed=panel.attempted - panel.scored,
        members=panel.members,
        nonmembers=panel.nonmembers,
        users=len(panel.users),
    )


def why_undefined(panel: Panel) -> str:
    """Returns why an attack's metrics are not given, or an empty string."""
    if not panel.covered:
        return f"only {panel.scored} of {panel.attempted} records have enough scored tokens"
    if not any(user.comparable for user in panel.users):
        return "no user has both a member and a non-member"
    if all(user.tied for user in panel.users):
        return "all scores are tied"
    if panel.copies_loss:
        return "same as loss: it ranks at least 99 % of the records alike"
    if panel.backed_off > MOST_BACKED_OFF:
        return f"it backed off to another attack on {panel.backed_off:.0%} of the records"
    return ""


def membership_metrics(audited: Audited, panel: Panel, *, per_user: bool) -> list[Metric]:
    """Computes every membership metric of a panel.

    Args:
        audited: Method, attack and subject.
        panel: The scores.
        per_user: Also give each user's AUC (done for the primary attack).

    Returns:
        Metrics; all ``undefined`` with one reason if the attack does not apply.
    """
    reason = why_undefined(panel)
    if reason:
        return [audited.metric("mia.auc", Estimate(None, None, reason), panel)]
    users = panel.users
    estimate = within_user_auc(users)
    general = sharers_interval(users)
    metrics = [
        audited.metric(
            "mia.auc",
            estimate,
            panel,
            sharers_ci=interval(general),
            reason="; ".join(dict.fromkeys(note for note in (estimate.reason, general.reason) if note)),
        ),
        audited.metric("mia.auc_pooled", pooled_auc(users), panel),
        audited.metric("mia.d_prime", d_prime(users), panel, unit="standard deviations"),
        audited.metric("mia.auc_worst", worst_user(users), panel),
    ]
    metrics += [audited.metric(f"mia.tpr_at_fpr_{rate}", pooled_rate(panel, rate), panel) for rate in RATES]
    if per_user:
        metrics += [
            audited.metric("mia.auc", within_user_auc([user]), panel, user=user.user, n=_own(user))
            for user in users
        ]
    return metrics


def _own(user: UserScores) -> N:
    total = len(user.member)
    return N(
        attempted=total,
        scored=total,
        failed=0,
        members=user.members,
        nonmembers=user.nonmembers,
        users=1,
    )


def pool(users: Sequence[UserScores]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns all members' and all non-members' scores over all users and targets."""
    members = [user.scores[:, user.member].ravel() for user in users]
    others = [user.scores[:, ~user.member].ravel() for user in users]
    return np.concatenate(members), np.concatenate(others)


def d_prime(users: Sequence[UserScores]) -> Estimate:
    """How far members' mean score lies above non-members' of the same user, in standard deviations.

    Averaged over a user's models, then over users; the interval is about sharers in general (t from 6).
    """
    found = []
    for user in users:
        gaps = [standardised_gap(row[user.member], row[~user.member]) for row in user.scores]
        found += [float(np.mean(known))] if (known := [gap for gap in gaps if gap is not None]) else []
    return mean_interval(np.array(found), unit="users with two records a side and scores that vary")


def pooled_auc(users: Sequence[UserScores]) -> Estimate:
    """One Mann-Whitney AUC over all records and targets; it mixes users, so it has no interval here."""
    return Estimate(auc(*pool(users)), None, "")


def pooled_rate(panel: Panel, rate: float) -> Estimate:
    """TPR at a false positive rate over all records and targets, where there are records enough for it."""
    needed = nonmembers_needed(rate)
    if panel.resolvable < needed:
        return Estimate(None, None, f"needs {needed} non-member records, has {panel.resolvable}")
    return Estimate(tpr_at_fpr(*pool(panel.users), rate), None, "")


def worst_user(users: Sequence[UserScores]) -> Estimate:
    """The user whose AUC is farthest from 1/2, with an interval that holds for all users at once."""
    level = 1 - 0.05 / max(1, len(users))
    estimates = [within_user_auc([user], level=level) for user in users]
    known = [estimate for estimate in estimates if estimate.value is not None]
    if not known:
        return Estimate(None, None, "no user has members and non-members with different scores")
    return max(known, key=lambda estimate: abs((estimate.value or 0.5) - 0.5))


def curve(audited: Audited, panel: Panel) -> Curve | None:
    """Returns the pooled ROC curve, thinned to about a hundred points, or None if there is none."""
    if why_undefined(panel):
        return None
    fpr, tpr = roc(*pool(panel.users))
    if len(fpr) > CURVE_POINTS:
        # Points evenly spaced along the curve, its ends included.
        kept = np.unique(np.linspace(0, len(fpr) - 1, CURVE_POINTS).round().astype(int))
        fpr, tpr = fpr[kept], tpr[kept]
    return Curve.model_validate(
        {
            "method": audited.method,
            "attack": audited.attack.id,
            "subject": audited.subject,
            "fpr": tuple(float(value) for value in fpr),
            "tpr": tuple(float(value) for value in tpr),
            "resolvable_from": 1 / panel.resolvable,
        }
    )


def distribution(audited: Audited, panel: Panel) -> Distribution | None:
    """Returns histograms of members' and non-members' scores over common bins, or None."""
    if why_undefined(panel):
        return None
    members, others = pool(panel.users)
    every = np.concatenate([members, others])
    if every.min() == every.max():
        return None
    edges = np.linspace(every.min(), every.max(), BINS + 1)
    return Distribution.model_validate(
        {
            "method": audited.method,
            "attack": audited.attack.id,
            "subject": audited.subject,
            "edges": tuple(float(edge) for edge in edges),
            "member": tuple(int(count) for count in np.histogram(members, edges)[0]),
            "nonmember": tuple(int(count) for count in np.histogram(others, edges)[0]),
        }
    )
