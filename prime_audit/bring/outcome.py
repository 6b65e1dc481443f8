"""From panels to results: what was handed in, judged and described."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import JsonValue

from attacks import ATTACKS, Attack, TokenScores
from prime_audit.audit.audit import CONTROL_BLIND
from prime_audit.audit.blind import BLIND, blind_info
from prime_audit.audit.lists import ListedPanels, audit_lists
from prime_audit.audit.panel import Panel
from prime_audit.audit.verdict import Key, with_repeats
from prime_audit.bring.listed import Listed
from prime_audit.bring.panels import CONTROL_BASE, MODEL, blind_panel
from prime_audit.core import Seeds, digest_json
from prime_audit.errors import ConfigError
from prime_audit.results import (
    AttackInfo,
    Coverage,
    Curve,
    Distribution,
    Finding,
    Gap,
    Method,
    Metric,
    Results,
    Study,
)

LISTS: Final = "lists"
RANDOMISED: Final = "lists-randomised"
DRAWS: Final = 2000
_Entry = TypeVar("_Entry", Metric, Finding, Curve, Distribution)
_CONTROLS: Final = {
    CONTROL_BASE: ("base", "Base (without what is audited)"),
    CONTROL_BLIND: ("blind", "Blind (the texts alone, no model)"),
}


@dataclass(frozen=True)
class Brought:
    """What was handed in, and what was measured about it.

    Attributes:
        listed: The records.
        methods: Panels of the audited model by attack.
        alarms: Panels of its base by attack.
        primary: The attack whose figures stand first.
        label: What is audited, in words.
        settings: What the figures depend on: digests and options.
        lacking: By attack that could not be run, what would open it.
        described: What the manifest says beside what every run says.
        known: Attacks that are not registered.
        evidence: Token scores to keep, by name.
        notes: What the user should read.
        packages: Packages that took part, for the manifest.
    """

    listed: Listed
    methods: Mapping[Key, Panel]
    primary: str
    label: str
    settings: Mapping[str, JsonValue]
    alarms: Mapping[Key, Panel] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, object] = field(default_factory=dict)
    known: Mapping[str, Attack] = field(default_factory=dict)
    evidence: Mapping[str, TokenScores] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("numpy", "scipy", "scikit-learn")


def results_of(brought: Brought, *, randomised: bool, seed: int) -> Results:
    """Judges what was handed in.

    Args:
        brought: The panels and what they are about.
        randomised: Whether a coin drew the membership of each record.
        seed: Seed of the folds and permutations.

    Returns:
        Results that are equal for equal input: no times, hosts or paths.

    Raises:
        ConfigError: Membership cannot have been drawn by a coin.
    """
    listed, seeds = brought.listed, Seeds(seed)
    _check_randomised(listed, randomised)
    seen, why = blind_panel(listed, seeds)
    panels = ListedPanels(brought.methods, brought.alarms, seen, brought.known)
    tables = audit_lists(panels, brought.primary, randomised=randomised, seeds=seeds, draws=DRAWS, why=why)
    unattributed = {*brought.known, BLIND.id}
    ids = dict.fromkeys(name for _, name in tables.run)
    settings = {**brought.settings, "randomised": randomised, "seed": seed}
    return Results(
        status="complete",
        study=Study(
            name="attack",
            kind="attack",
            task="",
            seed=seed,
            design=RANDOMISED if randomised else LISTS,
            config_digest=digest_json(settings),
            primary=brought.primary,
        ),
        methods=(_audited(brought), *_controls(panels)),
        attacks=tuple(_info(name, brought.known) for name in ids),
        metrics=tuple(_attributed(metric, unattributed) for metric in _about_lists(tables.metrics)),
        findings=tuple(_qualified(found, listed) for found in _about_lists(tables.findings)),
        curves=tuple(_about_lists(tables.curves)),
        distributions=tuple(_about_lists(tables.distributions)),
        coverage=_coverage(tables.run, brought.lacking),
    )


def _check_randomised(listed: Listed, randomised: bool) -> None:
    if randomised and not listed.within and len(set(listed.users)) > 1:
        raise ConfigError(
            "--randomised says that a coin was flipped for each record, but nobody has records in both lists",
            hint="leave it out: where people were drawn and not records, the lists can only be compared",
        )


def _audited(brought: Brought) -> Method:
    return Method(
        id=MODEL, kind="brought", family="audited", label=brought.label, params=dict(brought.settings)
    )


def _controls(panels: ListedPanels) -> list[Method]:
    named = dict.fromkeys(method for method, _ in panels.controls)
    return [
        Method(id=name, kind=_CONTROLS[name][0], family="control", label=_CONTROLS[name][1]) for name in named
    ]


def _info(name: str, known: Mapping[str, Attack]) -> AttackInfo:
    if name == BLIND.id:
        return blind_info()
    attack = known.get(name) or ATTACKS[name]
    return AttackInfo(
        id=attack.id,
        kind=attack.kind,
        threat_model="not known" if name in known else attack.threat_model,
        needs=tuple(attack.needs),
        source=attack.source,
        version=attack.version,
        params=dict(attack.params),
    )


def _about_lists(entries: Iterable[_Entry]) -> list[_Entry]:
    """The lists are about whoever wrote the records: neither sharers nor targets."""
    return [entry.model_copy(update={"subject": None}) for entry in entries]


def _attributed(metric: Metric, unattributed: set[str]) -> Metric:
    """Leaves out an adversary that nobody knows of unknown scores, and the blind control's, which is none."""
    return metric.model_copy(update={"adversary": None}) if metric.attack in unattributed else metric


def _qualified(finding: Finding, listed: Listed) -> Finding:
    """Adds to a finding what its lists leave open."""
    others = int((~listed.member).sum())
    (qualified,) = with_repeats([finding], listed.repeats, others)
    if qualified is not finding:
        return qualified
    if not listed.within and len(set(listed.users)) > 1:
        note = "nobody has records in both lists, so the records of different people are compared"
        reason = "; ".join(part for part in (finding.reason, note) if part)
        return finding.model_copy(update={"reason": reason})
    return finding


def _coverage(run: Iterable[Key], lacking: Mapping[str, str]) -> Coverage:
    done = (MODEL, *(f"{method}/{attack}" for method, attack in run))
    skipped = tuple(Gap(id=f"{MODEL}/{attack}", reason=reason) for attack, reason in lacking.items())
    return Coverage(requested=(*done, *(gap.id for gap in skipped)), run=done, skipped=skipped)
