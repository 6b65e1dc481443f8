"""Two rates over the same samples: what the audited model gives away, and what the base gives away anyway."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from attacks.arrays import BoolArray, FloatArray
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.power import clopper_pearson


@dataclass(frozen=True)
class MatchedRates:
    """How often two models succeed on the same samples, with the whole 2x2 table.

    The cells sum to the number of samples; they are whole numbers unless a success was shared between ties.

    Attributes:
        both: Samples on which both models succeed.
        only_model: Samples on which the audited model alone succeeds.
        only_base: Samples on which the base alone succeeds.
        neither: Samples on which neither does.
        model: Rate of the audited model, with Clopper and Pearson's interval.
        base: Rate of the base, with the same.
        difference: Rate of the audited model minus that of the base.
        p: One-sided exact McNemar p-value of the audited model succeeding more often; None without samples.
    """

    both: float
    only_model: float
    only_base: float
    neither: float
    model: Estimate
    base: Estimate
    difference: Estimate
    p: float | None


def success_rate(successes: FloatArray | BoolArray, level: float = 0.95, unit: str = "samples") -> Estimate:
    """Estimates a rate of successes with Clopper and Pearson's exact interval.

    Args:
        successes: ``(n,)`` True or 1 for a success; between 0 and 1 where one was shared between ties. A
            shared success varies less than one drawn at random, so the interval stays on the safe side.
        level: Coverage of the interval.
        unit: What is counted, for the reason.

    Returns:
        The rate in [0, 1]; undefined without samples.

    Raises:
        ValueError: A success is not between 0 and 1.
    """
    credits = _credits(successes)
    if not len(credits):
        return Estimate(None, None, f"undefined: there are no {unit}")
    return Estimate(float(credits.mean()), clopper_pearson(float(credits.sum()), len(credits), level), "")


def chance_p(successes: FloatArray | BoolArray, chance: float) -> float | None:
    """Returns the one-sided exact binomial p-value of a rate above chance.

    Args:
        successes: ``(n,)`` as in `success_rate`.
        chance: Rate of guessing, in (0, 1).

    Returns:
        The p-value; None without samples.

    Raises:
        ValueError: A success is not between 0 and 1.
    """
    credits = _credits(successes)
    return _tail(float(credits.sum()), len(credits), chance) if len(credits) else None


def matched_rates(
    model: FloatArray | BoolArray, base: FloatArray | BoolArray, level: float = 0.95, unit: str = "samples"
) -> MatchedRates:
    """Compares the successes of two models on the same samples; no sample is ever left out.

    The interval of the difference takes the two shares of samples on which one model alone succeeds, and
    joins their Clopper-Pearson limits by squares of distances to the limits, given their negative correlation
    (Zou and Donner 2008, Stat. Med. 27:1693). It covers at least what it says (.956 or more in simulations
    at 20 to 100 samples), also where the models agree everywhere.

    Args:
        model: ``(n,)`` successes of the audited model, as in `success_rate`.
        base: ``(n,)`` successes of the base on the same samples.
        level: Coverage of the intervals.
        unit: What is counted, for the reason.

    Returns:
        Table, rates, their difference and its test; undefined without samples.

    Raises:
        ValueError: The arrays differ in length, or a success is not between 0 and 1.
    """
    first, second = _credits(model), _credits(base)
    if first.shape != second.shape:
        raise ValueError(f"{unit}: {len(first)} of the audited model cannot be matched with {len(second)}")
    count, only_model, only_base = len(first), float(first @ (1 - second)), float((1 - first) @ second)
    rate, base_rate = (success_rate(credits, level, unit) for credits in (first, second))
    if not count:
        return MatchedRates(0, 0, 0, 0, rate, base_rate, rate, None)
    interval = _difference_interval(only_model, only_base, count, level)
    return MatchedRates(
        both=float(first @ second),
        only_model=only_model,
        only_base=only_base,
        neither=float((1 - first) @ (1 - second)),
        model=rate,
        base=base_rate,
        difference=Estimate((only_model - only_base) / count, interval, ""),
        p=_tail(only_model, only_model + only_base, 0.5),
    )


def _credits(successes: FloatArray | BoolArray) -> FloatArray:
    credits = np.asarray(successes, dtype=np.float64)
    if credits.ndim != 1 or not ((credits >= 0) & (credits <= 1)).all():
        raise ValueError("successes: expected one axis of values between 0 and 1")
    return credits


def _tail(count: float, total: float, rate: float) -> float:
    """Binomial probability of at least ``count`` of ``total``, by the beta function: it needs no integers."""
    return float(betainc(count, total - count + 1, rate)) if count > 0 else 1.0


def _difference_interval(only_model: float, only_base: float, count: int, level: float) -> Interval:
    p, q = only_model / count, only_base / count
    mine, other = (clopper_pearson(cell, count, level) for cell in (only_model, only_base))
    correlation = -math.sqrt(p * q / ((1 - p) * (1 - q))) if p < 1 and q < 1 else 0.0
    below = _joined(p - mine.low, other.high - q, correlation)
    above = _joined(mine.high - p, q - other.low, correlation)
    how = "Clopper-Pearson of the discordant shares, joined"
    return Interval(max(-1.0, p - q - below), min(1.0, p - q + above), level, how)


def _joined(first: float, second: float, correlation: float) -> float:
    return math.sqrt(first**2 - 2 * correlation * first * second + second**2)
