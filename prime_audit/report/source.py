"""What a report is made from, with the look-ups that its sections share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from prime_audit.gate import Gate
from prime_audit.results import AttackInfo, Curve, Finding, Method, Metric, Results, Search, Subject

_PRIMARY = "reference"
# More columns than this cannot be read side by side.
_IN_A_ROW = 5
# The kind of what is listed among the attacks and attacks no model.
_CONTROL = "control"
# The kind of what was asked about planted secrets, and about no record.
_CANARY = "canary"
_NOT_ON_RECORDS = (_CONTROL, _CANARY)
_OBSERVED = ("lists", "prime-paper")
_MERGED = (("targets", "merged"),)
_Key = tuple[str, str | None, str | None, bool]


@dataclass(frozen=True)
class Source:
    """A run's results, its manifest and, where rules were judged, its gate."""

    results: Results
    manifest: Mapping[str, object]
    gate: Gate | None

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods that compete: every one that is not a control."""
        return tuple(method for method in self.results.methods if method.family != "control")

    @cached_property
    def shown(self) -> tuple[Method, ...]:
        """Everything that was deployed: each competing method, then the deployed controls of it."""
        beside = [m for m in self.results.methods if m.family == "control" and self._deployed(m)]
        own = [(method, [m for m in beside if m.params.get("of") == method.id]) for method in self.methods]
        placed = [entry for method, controls in own for entry in (method, *controls)]
        return (*placed, *(method for method in beside if method not in placed))

    @cached_property
    def controls(self) -> tuple[Method, ...]:
        """The controls of the audit: those that were attacked and serve no target."""
        return tuple(m for m in self.results.methods if m.family == "control" and not self._deployed(m))

    def _deployed(self, control: Method) -> bool:
        return self.metric("utility.primary", control.id) is not None

    @cached_property
    def searches(self) -> Mapping[str, tuple[Search, ...]]:
        """What each merging method or deployed control did, target by target, in the order of `shown`."""
        order = (*self.shown, *self.results.methods)
        found = {
            method.id: tuple(entry for entry in self.results.search if entry.method == method.id)
            for method in order
        }
        return {name: entries for name, entries in found.items() if entries}

    @cached_property
    def attacks(self) -> tuple[AttackInfo, ...]:
        """The attacks on models, the primary one first."""
        on_models = [attack for attack in self.results.attacks if attack.kind not in _NOT_ON_RECORDS]
        return tuple(sorted(on_models, key=lambda attack: attack.id != self.primary))

    @cached_property
    def blind(self) -> str | None:
        """The id of the control that sees no model, among the attacks; None where there is none."""
        return next((attack.id for attack in self.results.attacks if attack.kind == _CONTROL), None)

    @property
    def lists(self) -> bool:
        """Whether the run is about records that were handed in, and not about a study's methods."""
        return self.results.study.kind == "attack"

    @property
    def pool(self) -> bool:
        """Whether the run compares an adapter with a pool of modules, and no records at all."""
        return self.results.study.design == "pool"

    @property
    def observed(self) -> bool:
        """Whether nobody flipped a coin for the records, so that lists are compared and no leak is stated."""
        return self.results.study.design in _OBSERVED

    @cached_property
    def beside(self) -> tuple[AttackInfo, ...]:
        """The attacks that stand beside a method in one row: the primary one and the next few."""
        return self.attacks[:_IN_A_ROW]

    @cached_property
    def primary(self) -> str | None:
        """The id of the attack named beforehand as the primary one; None where nothing was attacked."""
        if self.results.study.primary is not None:
            return self.results.study.primary
        ids = [attack.id for attack in self.results.attacks if attack.kind not in _NOT_ON_RECORDS]
        return _PRIMARY if _PRIMARY in ids or not ids else ids[0]

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings about competing methods."""
        names = {method.id for method in self.methods}
        return tuple(finding for finding in self.results.findings if finding.method in names)

    @cached_property
    def planted(self) -> frozenset[str]:
        """The ids among the attacks that findings about planted secrets name."""
        return frozenset(attack.id for attack in self.results.attacks if attack.kind == _CANARY)

    def on_records(self, method: str) -> tuple[Finding, ...]:
        """Find what was said of a method or a control about somebody's records, planted secrets aside.

        Args:
            method: The method's id.

        Returns:
            The findings, in their order.
        """
        found = (entry for entry in self.results.findings if entry.method == method)
        return tuple(entry for entry in found if entry.attack not in self.planted)

    @cached_property
    def label(self) -> Mapping[str, str]:
        """Method ids with their labels."""
        return {method.id: method.label for method in self.results.methods}

    @cached_property
    def _index(self) -> Mapping[_Key, list[Metric]]:
        index: dict[_Key, list[Metric]] = {}
        for metric in self.results.metrics:
            part = tuple((metric.slice or {}).items())
            if metric.target is None and metric.user is None and part in ((), _MERGED):
                index.setdefault((metric.id, metric.method, metric.attack, bool(part)), []).append(metric)
        return index

    @cached_property
    def subjects(self) -> Mapping[str, tuple[Subject | None, ...]]:
        """Whom each method was attacked about; of a competing one, whom it gives most of away comes first."""
        found: dict[str, dict[Subject | None, float]] = {}
        for (name, method, attack, part), metrics in self._index.items():
            if name == "mia.auc" and method is not None and not part:
                for metric in metrics:
                    value = (metric.value or 0.0) if attack == self.primary else 0.0
                    about = found.setdefault(method, {})
                    about[metric.subject] = max(about.get(metric.subject, 0.0), value)
        competing = {method.id for method in self.methods}
        return {
            method: tuple(sorted(about, key=lambda one: -about[one]) if method in competing else about)
            for method, about in found.items()
        }

    def metric(
        self,
        name: str,
        method: str,
        attack: str | None = None,
        *,
        merged: bool = False,
        subject: Subject | None = None,
    ) -> Metric | None:
        """Find a metric over all users.

        Args:
            name: The metric's id.
            method: The method's id.
            attack: The attack's id, for metrics that have one.
            merged: True for the figure over merged targets alone.
            subject: Whom it is about; by default the first of `subjects`, where there are several.

        Returns:
            The metric, or None where the run holds none.
        """
        found = self._index.get((name, method, attack, merged), [])
        if len(found) < 2 and subject is None:
            return found[0] if found else None
        order = (subject,) if subject is not None else self.subjects.get(method, ())
        return next((one for who in order for one in found if one.subject == who), None)

    @cached_property
    def _rates(self) -> Mapping[tuple[str, str | None, str | None, str | None], Metric]:
        index: dict[tuple[str, str | None, str | None, str | None], Metric] = {}
        for metric in self.results.metrics:
            if metric.id.startswith("mia.tpr_at_fpr_") and metric.slice is None:
                index.setdefault((metric.id, metric.method, metric.attack, metric.subject), metric)
        return index

    def rate(self, name: str, curve: Curve) -> Metric | None:
        """Find the true positive rate that belongs to a curve.

        Args:
            name: The metric's id.
            curve: A curve of the run.

        Returns:
            The metric about the same subject, or None where the run holds none.
        """
        return self._rates.get((name, curve.method, curve.attack, curve.subject))

    def largest(self, method: str, subject: Subject | None = None) -> Metric | None:
        """Find the largest AUC that any attack reaches on a method.

        Args:
            method: The method's id.
            subject: Whom it is about; by default whomever the method was attacked about.

        Returns:
            The metric, that of the primary attack where it ties; None where no attack has a defined figure.
        """
        whom = (subject,) if subject is not None else self.subjects.get(method, ())
        figures = [
            self.metric("mia.auc", method, attack.id, subject=who) for who in whom for attack in self.attacks
        ]
        known = [metric for metric in figures if metric is not None and metric.value is not None]
        return max(known, key=lambda metric: metric.value or 0.0, default=None)

    def share(self, metric: Metric) -> tuple[int, int] | None:
        """Say of a method's figure over fewer people than its others are how many those are.

        Passes that only some attacks need may be run for a few targets (`audit.passes.targets`), which
        concern a few people.

        Args:
            metric: An AUC over all the people that the attack was run on.

        Returns:
            How many people it is over, and the most that another attack on the method is over; None where
            that is as many.
        """
        if metric.n is None or metric.n.users is None or metric.method is None:
            return None
        others = (
            self.metric(metric.id, metric.method, attack.id, subject=metric.subject)
            for attack in self.attacks
        )
        most = max((m.n.users or 0 for m in others if m is not None and m.n is not None), default=0)
        return (metric.n.users, most) if metric.n.users < most else None

    def in_part(self, metric: Metric) -> str:
        """Say of a figure over some of a method's models that it is; nothing for any other one.

        Args:
            metric: A figure of an attack on a method.

        Returns:
            For example "run on 2 of 12 models".
        """
        name = f"{metric.method}/{metric.attack}"
        return next((gap.reason for gap in self.results.coverage.partial if gap.id == name), "")

    @cached_property
    def undefined(self) -> tuple[Metric, ...]:
        """The AUCs of attacks that were run and have no defined figure, each with its reason."""
        found = (
            self.metric("mia.auc", method.id, attack.id, subject=subject)
            for attack in self.results.attacks
            for method in self.results.methods
            for subject in self.subjects.get(method.id, ())
        )
        return tuple(metric for metric in found if metric is not None and metric.status == "undefined")

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of the requested parts have a figure, are undefined, failed, or were skipped."""
        coverage = self.results.coverage
        ids = {f"{metric.method}/{metric.attack}" for metric in self.undefined} & set(coverage.run)
        return {
            "run": len(coverage.run) - len(ids),
            "undefined": len(ids),
            "failed": len(coverage.failed),
            "skipped": len(coverage.skipped),
        }

    def leak(self, method: str, subject: Subject | None = None) -> Metric | None:
        """Find the AUC that is plotted: over merged targets where there is such a figure, else over all.

        Args:
            method: The method's id.
            subject: Whom it is about; see `metric`.

        Returns:
            The metric of the primary attack, or None where the method was not attacked.
        """
        merged = self.metric("mia.auc", method, self.primary, merged=True, subject=subject)
        return merged or self.metric("mia.auc", method, self.primary, subject=subject)

    def reverted(self, method: str) -> int:
        """Count the targets for which a method fell back to the base.

        Args:
            method: The method's id.

        Returns:
            The count.
        """
        return sum(len(entry.targets) for entry in self.results.coverage.reverted if entry.method == method)

    @cached_property
    def faults(self) -> int:
        """How many requested parts failed and how many metrics went wrong."""
        return len(self.results.coverage.failed) + sum(m.status == "error" for m in self.results.metrics)

    @property
    def broken(self) -> bool:
        """Whether the run must not be read as a finished one."""
        return self.results.status != "complete" or self.faults > 0
