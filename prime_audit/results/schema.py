"""The shape of results.json: what every other output is computed from."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

SCHEMA_VERSION: Final = 1

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
AttackId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Family = Literal["prompt", "training", "merging", "control", "audited"]
Subject = Literal["sharer", "target", "base-user"]
Status = Literal["ok", "undefined", "inconclusive", "error"]
FindingVerdict = Literal["leak", "none detected", "difference", "inconclusive"]
SliceValue = str | int | float | bool


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class CI(_Frozen):
    """An interval: its ends, its level (.95 for 95 %) and the name of its construction."""

    low: float
    high: float
    level: float = Field(default=0.95, gt=0, lt=1)
    how: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("the low end of an interval lies above its high end")
        return self


class N(_Frozen):
    """How much a figure rests on; None where a count has no meaning."""

    attempted: Count | None = None
    scored: Count | None = None
    failed: Count | None = None
    members: Count | None = None
    nonmembers: Count | None = None
    users: Count | None = None


class Study(_Frozen):
    """Which study these results answer; `primary` is the attack that was named beforehand."""

    name: str
    kind: Literal["evaluate", "attack", "personalize"] = "evaluate"
    task: str
    seed: int
    design: str
    config_digest: str
    primary: str | None = None


class Method(_Frozen):
    """One personalisation method, or a control that stands beside the methods."""

    id: Id
    kind: str
    family: Family
    label: str
    params: dict[str, JsonValue] = Field(default_factory=dict)


class AttackInfo(_Frozen):
    """One attack as it was run."""

    id: AttackId
    kind: str
    threat_model: str
    needs: tuple[str, ...] = ()
    source: str
    version: int
    params: dict[str, JsonValue] = Field(default_factory=dict)


class Metric(_Frozen):
    """One number with everything needed to read it.

    `ci` speaks about the modules that were audited, `sharers_ci` about sharers in general. A `value` is
    present
    exactly where `status` is "ok"; otherwise `reason` says why it is missing.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.+-]{0,63}$")]
    method: Id | None = None
    attack: AttackId | None = None
    adversary: str | None = None
    reference: str | None = None
    subject: Subject | None = None
    target: Id | None = None
    user: Id | None = None
    slice: dict[str, SliceValue] | None = None
    value: float | None
    status: Status = "ok"
    reason: str = ""
    ci: CI | None = None
    sharers_ci: CI | None = None
    n: N | None = None
    direction: Literal["higher", "lower"] | None = None
    unit: str | None = None

    @model_validator(mode="after")
    def _value_matches_status(self) -> Self:
        if (self.value is None) == (self.status == "ok"):
            raise ValueError("a value stands exactly where the status is 'ok'")
        if self.status != "ok" and not self.reason:
            raise ValueError("a missing value needs a reason")
        return self

    @property
    def key(self) -> tuple[object, ...]:
        """What tells this metric from every other one in a run."""
        part = tuple(sorted((name, str(value)) for name, value in (self.slice or {}).items()))
        who = (self.subject, self.target, self.user)
        return (self.id, self.method, self.attack, self.adversary, self.reference, *who, part)


class Finding(_Frozen):
    """What may be said about one method and one subject; `could_have_seen` is an AUC."""

    method: Id
    subject: Subject | None = None
    attack: AttackId | None = None
    verdict: FindingVerdict
    p: Probability | None = None
    reason: str = ""
    could_have_seen: Probability | None = None


class Curve(_Frozen):
    """A pooled ROC curve; false positive rates under `resolvable_from` rest on too few records."""

    method: Id
    attack: AttackId
    subject: Subject | None = None
    fpr: tuple[Probability, ...]
    tpr: tuple[Probability, ...]
    resolvable_from: Probability | None = None

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.fpr) != len(self.tpr) or len(self.fpr) < 2:
            raise ValueError("a curve needs as many tpr as fpr values, and at least two")
        return self


class Distribution(_Frozen):
    """Two histograms of one attack's scores over the same bins."""

    method: Id
    attack: AttackId
    subject: Subject | None = None
    edges: tuple[float, ...]
    member: tuple[Count, ...]
    nonmember: tuple[Count, ...]

    @model_validator(mode="after")
    def _bins(self) -> Self:
        if not len(self.edges) - 1 == len(self.member) == len(self.nonmember) >= 1:
            raise ValueError("a histogram needs one more edge than counts, and at least one bin")
        return self


class SearchPoint(_Frozen):
    """One evaluated merge: weights, utility, privacy term, and the part of the history it was measured on.

    `w` holds one weight per sharer, or one per sharer and layer, sharer by sharer. `items` counts the items
    it was measured on: fewer than the others' where it was dropped early.
    """

    w: tuple[float, ...]
    u: float | None
    s: float | None = None
    part: str = ""
    items: Count = 0


class Search(_Frozen):
    """What a merging method deployed for one target, and how it was found.

    `weights` says how much of each sharer's own change is deployed (empty where the base is), `norm_ratio`
    how large the deployed change is beside the mean of the sharers'. `chosen` is a position in `points`.
    """

    method: Id
    target: Id
    sharers: tuple[Id, ...]
    points: tuple[SearchPoint, ...] = ()
    chosen: Count | None = None
    weights: tuple[float, ...] = ()
    norm_ratio: float | None = None
    reverted: bool = False
    reason: str = ""
    notes: dict[str, SliceValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        count = len(self.sharers)
        if any(not point.w or len(point.w) % count for point in self.points):
            raise ValueError("every point of a search needs one weight per sharer, or one per layer too")
        if self.weights and len(self.weights) != count:
            raise ValueError("the deployed weights need one per sharer")
        if self.chosen is not None and self.chosen >= len(self.points):
            raise ValueError("the chosen point is not among the points of the search")
        return self


class Gap(_Frozen):
    """Something that was asked for and has no result, with the reason."""

    id: str
    reason: str


class Reverted(_Frozen):
    """How many targets of a method fell back to the base."""

    method: Id
    targets: tuple[Id, ...]


class Coverage(_Frozen):
    """What was asked for and what came of it; an entry is a method or `method/attack`.

    `partial` says of what was run that it was run on some of a method's models only.
    """

    requested: tuple[str, ...]
    run: tuple[str, ...]
    failed: tuple[Gap, ...] = ()
    skipped: tuple[Gap, ...] = ()
    partial: tuple[Gap, ...] = ()
    reverted: tuple[Reverted, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        found = sorted([*self.run, *(gap.id for gap in (*self.failed, *self.skipped))])
        if found != sorted(self.requested):
            raise ValueError("run, failed and skipped together must be exactly what was requested")
        return self


class Results(_Frozen):
    """Everything that a run found; equal runs give equal results."""

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["complete", "incomplete", "cancelled"]
    study: Study
    methods: tuple[Method, ...]
    attacks: tuple[AttackInfo, ...] = ()
    metrics: tuple[Metric, ...] = ()
    findings: tuple[Finding, ...] = ()
    curves: tuple[Curve, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    search: tuple[Search, ...] = ()
    coverage: Coverage

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        methods = _unique("methods", (method.id for method in self.methods))
        attacks = _unique("attacks", (attack.id for attack in self.attacks))
        _unique("metrics", (metric.key for metric in self.metrics))
        _unique("findings", ((finding.method, finding.subject, finding.attack) for finding in self.findings))
        audited: tuple[Metric | Finding | Curve | Distribution, ...]
        audited = (*self.metrics, *self.findings, *self.curves, *self.distributions)
        _known("attack", attacks, (entry.attack for entry in audited))
        _known("method", methods, (entry.method for entry in audited))
        _known("method", methods, (entry.method for entry in self.search))
        _known("method", methods, (entry.method for entry in self.coverage.reverted))
        return self


def _unique(what: str, keys: Iterable[object]) -> set[object]:
    listed = list(keys)
    if len(set(listed)) != len(listed):
        raise ValueError(f"two {what} have the same key")
    return set(listed)


def _known(what: str, known: set[object], used: Iterable[object]) -> None:
    for name in used:
        if name is not None and name not in known:
            raise ValueError(f"{what} '{name}' is used but not listed")
