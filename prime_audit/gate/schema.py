"""The shape of gate.json, and what a rule says."""

from collections.abc import Mapping
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from prime_audit.results import CI

Verdict = Literal["pass", "warn", "fail", "error"]
Side = Literal["min", "max", "max_increase", "max_decrease"]


class Rule(Protocol):
    """A rule of a study or a rules file; None means every method, every attack, or no such limit."""

    @property
    def metric(self) -> str:
        """The id of the metric."""

    @property
    def method(self) -> str | None:
        """The method, or None for every one but the controls."""

    @property
    def attack(self) -> str | None:
        """The attack, or None for every one."""

    @property
    def slice(self) -> Mapping[str, str | int | float | bool] | None:
        """The part of the records that the metric is about, or None for all of them."""

    @property
    def min(self) -> float | None:
        """The least value that is allowed."""

    @property
    def max(self) -> float | None:
        """The greatest value that is allowed."""

    @property
    def max_increase(self) -> float | None:
        """How far the value may lie above the baseline's."""

    @property
    def max_decrease(self) -> float | None:
        """How far the value may lie below the baseline's."""

    @property
    def primary(self) -> bool:
        """Whether its comparison with the baseline is tested at the full level."""

    @property
    def severity(self) -> Literal["fail", "warn"]:
        """What a broken rule does to the run."""

    @property
    def min_n(self) -> int | None:
        """How many records the metric must rest on."""

    @property
    def on_missing(self) -> Literal["error", "fail"]:
        """What a metric that is not there, or has no value, does to the run."""


class Frozen(BaseModel):
    """What all parts of the gate's files are: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Judgement(Frozen):
    """One limit applied to one metric.

    `bound` is the end of the interval that was set against an absolute `limit`: the upper for a `max`, the
    lower for a `min`. For a comparison with the baseline, `limit` is the change that is allowed, `delta` the
    one that was found, `p` its p-value (corrected where several rules are tested), `detectable` the change
    that would have been seen nine times in ten, and `test` how it was tested. `needed` is how many records
    per class a limit needs that cannot be met with these.
    """

    metric: str
    method: str | None
    attack: str | None
    subset: str
    side: Side
    limit: float
    value: float | None
    ci: CI | None
    bound: float | None
    baseline: float | None = None
    delta: float | None = None
    p: float | None = None
    detectable: float | None = None
    test: str | None = None
    needed: int | None = None
    severity: Literal["fail", "warn"] = "fail"
    verdict: Verdict
    reason: str


class Against(Frozen):
    """The baseline that a run was compared with.

    `runs` counts its training seeds, `reason` is why it was last changed, `same_study` says whether the run's
    settings are the baseline's, and `differs` why the two cannot be compared.
    """

    digest: str
    runs: int
    reason: str
    same_study: bool
    differs: tuple[str, ...] = ()


class Gate(Frozen):
    """The verdict over all rules: "error" means that a rule could not be judged, which is never a pass."""

    verdict: Verdict
    rules: tuple[Judgement, ...]
    baseline: Against | None = None

    @property
    def exit_code(self) -> int:
        """0 when passed (with warnings or without), 3 when a limit is broken, 4 when one was not judged."""
        return {"pass": 0, "warn": 0, "fail": 3, "error": 4}[self.verdict]
