"""Exposure of canaries: how far a planted secret stands out among candidates that were never planted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from attacks.arrays import FloatArray, IntArray
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import FEWEST_UNITS
from attacks.statistics.power import clopper_pearson
from attacks.statistics.skew_normal import DRAWS, FitTest, skew_normal_test

# With fewer references a test of the fit sees little, so nothing is extrapolated.
FEWEST_REFERENCES = 200
FIT_LEVEL = 0.05
PERMUTATIONS = 9999
# From this share at the ceiling on, t limits miss the truth too often; see `exposure_differences`.
_CAPPED = 0.5
# Equal means may differ in their last bits; they must count as equal.
_TIE = 1e-9


@dataclass(frozen=True)
class Exposure:
    """Exposure of one canary.

    Attributes:
        bits: Exposure by rank, at most log2 of the number of references.
        rank: 1 + the number of references that are at least as likely.
        extrapolated: Exposure by the skew-normal fitted to the references, in bits; only for a canary of
            rank 1, and only where the fit is not rejected.
        fit: The test of that fit; None where none was made.
        reason: Why a canary of rank 1 has no extrapolated value; empty otherwise.
    """

    bits: float
    rank: int
    extrapolated: float | None
    fit: FitTest | None
    reason: str


def exposure_ranks(canaries: FloatArray, references: FloatArray) -> IntArray:
    """Ranks canaries among references; a reference of the same log-probability comes first.

    That order is the conservative one: a model that cannot tell them apart exposes nothing.

    Args:
        canaries: ``(n,)`` log-probabilities of the canaries, in nats.
        references: ``(r,)`` log-probabilities of candidates of the same format, none of them a canary.

    Returns:
        ``(n,)`` ranks from 1 (likelier than every reference) to r + 1.

    Raises:
        ValueError: There is no reference, or a log-probability is not finite.
    """
    if not len(references):
        raise ValueError("references: there are none to rank a canary among")
    for name, values in (("canaries", canaries), ("references", references)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: a log-probability is not finite")
    less_likely = np.searchsorted(np.sort(references), canaries, side="left")
    return np.asarray(1 + len(references) - less_likely, dtype=np.int64)


def rank_exposure(canaries: FloatArray, references: FloatArray) -> FloatArray:
    """Returns the exposure by rank: log2 |R| - log2 rank (Carlini et al., arXiv 1802.08232, section 4.2).

    A canary that was never planted has 1.44 bits on average, with a standard deviation of 1.44, and 4 bits or
    more once in 16 times; so a figure means something only beside never-inserted canaries.

    Args:
        canaries: ``(n,)`` log-probabilities of the canaries, in nats.
        references: ``(r,)`` log-probabilities of candidates of the same format, none of them a canary.

    Returns:
        ``(n,)`` bits, from log2(r / (r + 1)), just below 0, to log2 r.

    Raises:
        ValueError: There is no reference, or a log-probability is not finite.
    """
    ranks = exposure_ranks(canaries, references)
    return np.asarray(math.log2(len(references)) - np.log2(ranks), dtype=np.float64)


def exposures(
    canaries: FloatArray, references: FloatArray, rng: np.random.Generator, draws: int = DRAWS
) -> list[Exposure]:
    """Returns the exposure of each canary, and an extrapolated one where the rank says no more.

    A canary that outranks every reference has *at least* log2 |R| bits. How many more is read off a
    skew-normal fitted to the references (arXiv 1802.08232, section 4.3), if a test does not reject the fit:
    -log2 of the probability of a reference at least as likely. With 1,024 references its standard error is
    about 1 bit at 15 bits and 3 at 30 (simulated), and that is so only if the tail has the same shape.

    Args:
        canaries: ``(n,)`` log-probabilities of the canaries, in nats.
        references: ``(r,)`` log-probabilities of candidates of the same format, none of them a canary.
        rng: Source of the samples of the fit's test; not touched if no canary has rank 1.
        draws: Most samples of that test.

    Returns:
        One exposure per canary.

    Raises:
        ValueError: There is no reference, or a log-probability is not finite.
    """
    ranks, bits = exposure_ranks(canaries, references), rank_exposure(canaries, references)
    fit, reason = (None, "") if (ranks > 1).all() else _tested_fit(references, rng, draws)
    found = []
    for logp, rank, value in zip(canaries, ranks, bits, strict=True):
        if rank > 1:
            found.append(Exposure(float(value), int(rank), None, None, ""))
            continue
        beyond = None
        if fit is not None and not reason:
            beyond = -fit.fitted.log_survival(float(logp)) / math.log(2)
        found.append(Exposure(float(value), 1, beyond, fit, reason))
    return found


def _tested_fit(references: FloatArray, rng: np.random.Generator, draws: int) -> tuple[FitTest | None, str]:
    """Fits the references; says why nothing may be read off the fit."""
    least = f"at least {math.log2(len(references)):.3g} bits"
    if len(references) < FEWEST_REFERENCES:
        return None, f"{least}: extrapolation needs {FEWEST_REFERENCES} references, has {len(references)}"
    if np.ptp(references) == 0:
        return None, f"{least}: all references are equally likely, so no distribution can be fitted"
    fit = skew_normal_test(references, rng, draws)
    if fit.p <= FIT_LEVEL:
        return fit, f"{least}: the references are not skew-normal (p = {fit.p:.3f})"
    return fit, ""


@dataclass(frozen=True)
class ExposureDifference:
    """Exposure of inserted canaries beyond that of never-inserted ones of the same type.

    Attributes:
        bits: Mean of the inserted minus mean of the never-inserted, with its interval.
        p: One-sided permutation p-value; None if a side is empty.
        inserted: Number of inserted canaries.
        never: Number of never-inserted canaries.
        capped: Inserted canaries at the ceiling: their exposure is at least that.
    """

    bits: Estimate
    p: float | None
    inserted: int
    never: int
    capped: int


def exposure_differences(
    inserted: Mapping[tuple[str, int], FloatArray],
    never: Mapping[str, FloatArray],
    references: int,
    rng: np.random.Generator,
    draws: int = PERMUTATIONS,
    level: float = 0.95,
) -> dict[tuple[str, int], ExposureDifference]:
    """Compares inserted canaries of each type and repetition with never-inserted ones of that type.

    A coin decided which canaries were inserted, so the p-value permutes them:
    p = (1 + draws at least as large) / (1 + draws).

    The interval is Welch's t. Once half of the inserted canaries outrank every reference their values hardly
    vary and t limits are too narrow (.74 to .92 in simulations at 6 + 18 to 20 + 60); the inserted side then
    gets Clopper and Pearson's limits on the scale from 0 to the ceiling, which no distribution of that mean
    needs wider, joined to the other side by squares of distances to the limits (Zou and Donner 2008).
    With fewer than 20 inserted canaries of which a few stand out by far, the upper limit of Welch's t is
    still too low at times (.81 to .93); the lower one, which a claim rests on, holds.

    Args:
        inserted: Exposures by rank in bits, per type and number of repetitions.
        never: Exposures by rank in bits of never-inserted canaries, per type.
        references: |R|, the number of references of each type; log2 of it is the ceiling.
        rng: Source of the permutations.
        draws: Number of permutations.
        level: Coverage of the interval.

    Returns:
        A difference per key of ``inserted``; undefined if a side is empty, without an interval under 6
        canaries on a side or where no value differs.

    Raises:
        ValueError: An exposure is not finite or above the ceiling, or there is no reference.
    """
    if references < 1:
        raise ValueError(f"references: at least 1 is needed, not {references}")
    ceiling = math.log2(references)
    for values in (*inserted.values(), *never.values()):
        if not (np.isfinite(values).all() and (values <= ceiling + _TIE).all()):
            raise ValueError(f"exposures: by rank, they are finite and at most {ceiling:.3g} bits")
    nothing: FloatArray = np.zeros(0)
    return {
        (kind, times): _difference(values, never.get(kind, nothing), ceiling, rng, draws, level)
        for (kind, times), values in inserted.items()
    }


def _difference(
    inserted: FloatArray,
    never: FloatArray,
    ceiling: float,
    rng: np.random.Generator,
    draws: int,
    level: float,
) -> ExposureDifference:
    n, m, capped = len(inserted), len(never), int((inserted >= ceiling - _TIE).sum())
    if not (n and m):
        side = "an inserted" if not n else "a never-inserted"
        return ExposureDifference(
            Estimate(None, None, f"undefined: there is not {side} canary of the type"), None, n, m, capped
        )
    value = float(inserted.mean() - never.mean())
    interval, reason = None, ""
    if min(n, m) < FEWEST_UNITS:
        reason = f"interval needs {FEWEST_UNITS} inserted and {FEWEST_UNITS} never-inserted canaries"
        reason += f", has {n} and {m}"
    elif np.ptp(inserted) <= _TIE and np.ptp(never) <= _TIE:
        reason = "no interval: neither side varies"
    elif capped >= _CAPPED * n and ceiling > 0:
        interval = _capped_interval(inserted, never, ceiling, level)
    else:
        interval = _welch_interval(inserted, never, level)
    p = _permuted_p(inserted, never, rng, draws)
    return ExposureDifference(Estimate(value, interval, reason), p, n, m, capped)


def _welch_interval(inserted: FloatArray, never: FloatArray, level: float) -> Interval:
    value = float(inserted.mean() - never.mean())
    first, second = (float(side.var(ddof=1)) / len(side) for side in (inserted, never))
    degrees = (first + second) ** 2 / (first**2 / (len(inserted) - 1) + second**2 / (len(never) - 1))
    half = float(stdtrit(degrees, (1 + level) / 2)) * math.sqrt(first + second)
    return Interval(value - half, value + half, level, f"Welch t over {len(inserted)} + {len(never)}")


def _capped_interval(inserted: FloatArray, never: FloatArray, ceiling: float, level: float) -> Interval:
    n, m = len(inserted), len(never)
    value, share = float(inserted.mean() - never.mean()), float(np.clip(inserted.mean() / ceiling, 0, 1))
    exact = clopper_pearson(share * n, n, level)
    other = float(stdtrit(m - 1, (1 + level) / 2)) * float(never.std(ddof=1)) / math.sqrt(m)
    low = value - math.hypot((share - exact.low) * ceiling, other)
    high = value + math.hypot((exact.high - share) * ceiling, other)
    return Interval(low, high, level, f"Clopper-Pearson over {n} at the ceiling, t over {m}, joined")


def _permuted_p(inserted: FloatArray, never: FloatArray, rng: np.random.Generator, draws: int) -> float:
    pooled, n = np.concatenate([inserted, never]), len(inserted)
    reached = float(inserted.sum()) - _TIE * max(1.0, float(np.abs(pooled).sum()))
    sums = rng.permuted(np.tile(pooled, (draws, 1)), axis=1)[:, :n].sum(axis=1)
    return float((1 + (sums >= reached).sum()) / (1 + draws))
