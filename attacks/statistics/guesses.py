"""Guesses about which canaries are in, from one run: the coin flips, how many are guessed, and the bound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.special import bdtr

from attacks.arrays import BoolArray, FloatArray
from attacks.statistics.epsilon import EpsilonBound, Split, check_terms, fewest, shortfall

# Shares of all canaries that are guessed in (the highest scores) and out (the lowest), fixed beforehand. None
# is half and half: coins seldom put in just half, and then even a perfect order makes wrong guesses.
SHARES = ((0.4, 0.4), (0.25, 0.25), (0.1, 0.1), (0.04, 0.04), (0.01, 0.01), (0.1, 0.0), (0.02, 0.0))
# A record as unlike coin flips as this is none; a true one is refused once in a thousand million.
_NEVER = 1e-9
_ROUNDING = 1e-9
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, eq=False)
class CoinFlips:
    """Which canaries were put in, each by a coin of its own that was flipped before training.

    The bounds hold for random inclusion and for nothing else. A list of members and non-members that was made
    afterwards has no commitment, and is refused if it is sorted by membership or too one-sided for a coin.

    Attributes:
        inclusion: ``(m,)``, True where the canary is in.
        commitment: SHA-256 in 64 hex digits of the record, published or stored before training.
        probability: Of inclusion; one half, or the formulas do not hold.
    """

    inclusion: BoolArray
    commitment: str
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Refuses what is no record of fair coins.

        Raises:
            ValueError: The coin is not fair, the commitment is no SHA-256, or the flips cannot be a coin's.
        """
        flips = self.inclusion
        if flips.ndim != 1 or flips.dtype != np.bool_ or not len(flips):
            raise ValueError("inclusion: must be one flag per canary")
        if self.probability != 0.5:
            raise ValueError(f"probability: canaries must go in with one half, not {self.probability}")
        if len(self.commitment) != 64 or not _HEX.issuperset(self.commitment):
            raise ValueError("commitment: the digest of the coin flips, SHA-256 in 64 hex digits, is missing")
        inside = int(flips.sum())
        chance = 2 * float(bdtr(min(inside, len(flips) - inside), len(flips), 0.5))
        changes = int(np.count_nonzero(flips[1:] != flips[:-1]))
        sorted_chance = len(flips) * 2.0 ** (1 - len(flips)) if changes <= 1 else 1.0
        if min(chance, sorted_chance) < _NEVER:
            raise ValueError(f"inclusion: {inside} of {len(flips)} in this order are no coin flips")


@dataclass(frozen=True)
class Guesses:
    """A number of guesses fixed before any score was seen.

    Attributes:
        top: Canaries with the highest scores, guessed to be in.
        bottom: Canaries with the lowest scores, guessed to be out.
    """

    top: int
    bottom: int = 0


@dataclass(frozen=True)
class GuessGrid:
    """Several numbers of guesses fixed beforehand; the best is taken, with Bonferroni's correction.

    Those too few to refute even epsilon = 0 at the uncorrected level are left out, which the number of
    canaries alone decides, so small trials pay for fewer.

    Attributes:
        shares: Pairs of shares of the canaries: guessed to be in, and guessed to be out.
    """

    shares: tuple[tuple[float, float], ...] = SHARES


Plan = Guesses | GuessGrid | Split
DEFAULT_PLAN = GuessGrid()
_ALL = GuessGrid(((0.5, 0.5),))


class Formula(Protocol):
    """What a one-run bound says about numbers of guesses."""

    def __hash__(self) -> int:
        """Equal formulas have one hash, so that ceilings are found once."""

    @property
    def delta(self) -> float:
        """The delta at which it bounds epsilon."""

    @property
    def name(self) -> str:
        """The construction, in words."""

    @property
    def assumption(self) -> str:
        """What it supposes beside the design."""

    def largest(self, canaries: int, guesses: int, correct: int, p: float) -> float:
        """Returns the largest epsilon that is refuted with an error of at most p; 0 if none is."""

    def refutes(self, canaries: int, guesses: int, correct: int, epsilon: float, p: float) -> bool:
        """Says whether an epsilon is refuted with an error of at most p."""


def correct_guesses(scores: FloatArray, included: BoolArray, guesses: Guesses) -> int:
    """Returns how many guesses are right: the highest scores guessed in, the lowest guessed out.

    Tied scores are ordered by a fixed shuffle of positions. It knows nothing of the flips, so that a list in
    which the included canaries stand first gains nothing, and the number of guesses stays the one fixed.

    Args:
        scores: ``(m,)`` finite scores.
        included: ``(m,)`` flips.
        guesses: How many on each side.

    Returns:
        The number of correct guesses.

    Raises:
        ValueError: There are more guesses than canaries, or none.
    """
    if min(guesses.top, guesses.bottom) < 0 or not 1 <= guesses.top + guesses.bottom <= len(scores):
        raise ValueError(f"guesses: {guesses.top} + {guesses.bottom} of {len(scores)} canaries")
    shuffled = np.random.default_rng(0).permutation(len(scores))
    falling = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    out = falling[len(scores) - guesses.bottom :]
    return int(included[falling[: guesses.top]].sum() + (~included[out]).sum())


def bound_from_guesses(
    scores: FloatArray,
    flips: CoinFlips,
    plan: Plan,
    formula: Formula,
    *,
    unit: str,
    level: float,
    claimed: float | None,
) -> EpsilonBound:
    """Bounds epsilon from one run's scores by a formula for numbers of guesses.

    Args:
        scores: ``(m,)`` scores, higher where the canary seems to be in.
        flips: The recorded coin flips, in the order of the scores.
        plan: How many guesses are made, and how their number is chosen.
        formula: The construction.
        unit: What a canary is.
        level: Confidence of the bound.
        claimed: An epsilon that the bound is to be held against.

    Returns:
        The bound; undefined if perfect guesses would not have reached the claim.

    Raises:
        ValueError: Scores and flips differ in number, a score is not finite, the plan does not fit, or level
            or delta are out of range.
    """
    check_terms(level, formula.delta)
    included = flips.inclusion
    if scores.shape != included.shape:
        raise ValueError(f"scores: {scores.shape} do not go with {included.shape} coin flips")
    if not np.isfinite(scores).all():
        raise ValueError("scores: one is not finite")
    total, p = len(scores), 1 - level
    if isinstance(plan, Split) and not 0 < round(plan.share * total) < total:
        raise ValueError(f"share: {plan.share} of {total} canaries leaves a part empty")
    ceiling = _ceiling(formula, *_possible(plan, total, p))
    reason = shortfall(ceiling, claimed, lambda: _needed(formula, plan, claimed or 0.0, p), "canaries")
    value, guesses, chosen = _apply(scores, included, plan, formula, p)
    how = f"one run, {formula.name}; {chosen}"
    if reason:
        return EpsilonBound(None, ceiling, level, formula.delta, unit, how, formula.assumption, None, reason)
    return EpsilonBound(value, ceiling, level, formula.delta, unit, how, formula.assumption, guesses, "")


def _apply(
    scores: FloatArray, included: BoolArray, plan: Plan, formula: Formula, p: float
) -> tuple[float, int, str]:
    """The bound, its number of guesses, and how that number was chosen."""
    if isinstance(plan, Split):
        order = np.random.default_rng(plan.seed).permutation(len(scores))
        first, rest = np.split(order, [round(plan.share * len(scores))])
        plans, shares = _on_grid(SHARES, len(first), p)
        best, _ = _best(scores[first], included[first], plans, formula, p)
        fixed = _scaled(shares[best], len(rest))
        _, value = _best(scores[rest], included[rest], [fixed], formula, p)
        return value, fixed.top + fixed.bottom, f"number chosen on {len(first)} of {len(order)} canaries"
    if isinstance(plan, Guesses):
        _, value = _best(scores, included, [plan], formula, p)
        return value, plan.top + plan.bottom, f"{plan.top} highest and {plan.bottom} lowest, fixed beforehand"
    plans, _ = _on_grid(plan.shares, len(scores), p)
    best, value = _best(scores, included, plans, formula, p / len(plans))
    text = f"best of {len(plans)} numbers of guesses fixed beforehand, Bonferroni"
    return value, plans[best].top + plans[best].bottom, text


def _best(
    scores: FloatArray, included: BoolArray, plans: Sequence[Guesses], formula: Formula, p: float
) -> tuple[int, float]:
    """Which plan gives the largest bound at this p, and that bound."""
    found = [
        formula.largest(len(scores), plan.top + plan.bottom, correct_guesses(scores, included, plan), p)
        for plan in plans
    ]
    best = int(np.argmax(found))
    return best, found[best]


def _scaled(share: tuple[float, float], canaries: int) -> Guesses:
    """Guesses of these shares, at least one; the two halves of an odd number of canaries do not overlap."""
    top, bottom = (math.ceil(part * canaries - _ROUNDING) for part in share)
    return Guesses(top, min(bottom, canaries - top))


def _on_grid(
    shares: Sequence[tuple[float, float]], canaries: int, p: float
) -> tuple[list[Guesses], list[tuple[float, float]]]:
    """The grid's distinct numbers that could refute something; its largest alone if none could."""
    if canaries < 1:
        return [], []
    if not shares or any(min(s) < 0 or not 0 < sum(s) <= 1 for s in shares):
        raise ValueError(f"shares: pairs of non-negative shares with a sum in (0, 1], not {shares}")
    plans = {_scaled(share, canaries): share for share in shares}
    kept = {plan: share for plan, share in plans.items() if 2.0 ** -(plan.top + plan.bottom) <= p}
    if not kept:
        largest = max(plans, key=lambda plan: plan.top + plan.bottom)
        kept = {largest: plans[largest]}
    return list(kept), list(kept.values())


def _possible(plan: Plan, canaries: int, p: float) -> tuple[int, tuple[int, ...], float]:
    """What perfect guesses could be: canaries that count, numbers of guesses, and the error each may make."""
    if isinstance(plan, Guesses):
        return canaries, (plan.top + plan.bottom,), p
    shares: Sequence[tuple[float, float]] = SHARES
    if isinstance(plan, Split):
        canaries -= round(plan.share * canaries)
    else:
        shares = plan.shares
    plans, _ = _on_grid(shares, canaries, p)
    each = p if isinstance(plan, Split) else p / len(plans)
    return canaries, tuple(found.top + found.bottom for found in plans), each


@lru_cache(maxsize=256)
def _ceiling(formula: Formula, canaries: int, guesses: tuple[int, ...], p: float) -> float:
    return max(formula.largest(canaries, number, number, p) for number in guesses)


def _needed(formula: Formula, plan: Plan, claimed: float, p: float) -> int | None:
    """The number of canaries whose ceiling reaches the claim; with fixed guesses, all of them guessed."""
    grown = _ALL if isinstance(plan, Guesses) else plan

    def reaches(total: int) -> bool:
        canaries, guesses, each = _possible(grown, total, p)
        return any(formula.refutes(canaries, number, number, claimed, each) for number in guesses)

    return fewest(reaches)
