"""What an estimate hands out: a value, its interval, and why either is missing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower limit.
        high: Upper limit.
        level: Coverage that it is built for.
        how: Its construction, in words.
    """

    low: float
    high: float
    level: float
    how: str


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty.

    Attributes:
        value: The figure, or None where it is undefined.
        interval: Its confidence interval, or None.
        reason: Why something is missing or left out; empty if nothing is.
    """

    value: float | None
    interval: Interval | None
    reason: str
