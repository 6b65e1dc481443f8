"""The shape of gate.json."""

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from prime_audit.results import CI

Verdict = Literal["pass", "fail", "error"]


class Rule(Protocol):
    """An absolute limit as the study states it; None means every method, every attack, or no such limit."""

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
    def min(self) -> float | None:
        """The least value that is allowed."""

    @property
    def max(self) -> float | None:
        """The greatest value that is allowed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Judgement(_Frozen):
    """One limit applied to one metric.

    `bound` is the end of the interval that was set against `limit`: the upper for a `max`, the lower for a
    `min`.
    """

    metric: str
    method: str | None
    attack: str | None
    subset: str
    side: Literal["min", "max"]
    limit: float
    value: float | None
    ci: CI | None
    bound: float | None
    baseline: float | None = None
    delta: float | None = None
    verdict: Verdict
    reason: str


class Gate(_Frozen):
    """The verdict over all rules: "error" means that a rule could not be judged, which is never a pass."""

    verdict: Verdict
    rules: tuple[Judgement, ...]
    baseline: str | None = None

    @property
    def exit_code(self) -> int:
        """0 when passed, 3 when a limit is broken, 4 when a rule could not be judged."""
        return {"pass": 0, "fail": 3, "error": 4}[self.verdict]
