"""A lower bound on epsilon from many independent training runs, by Clopper and Pearson's limits."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

from attacks.arrays import BoolArray, FloatArray, IntArray
from attacks.statistics.epsilon import EpsilonBound, Split, check_terms, fewest, shortfall

DEFAULT_SPLIT = Split()


def epsilon_from_independent_runs(
    true_positives: int,
    runs_with: int,
    false_positives: int,
    runs_without: int,
    *,
    unit: str,
    delta: float = 0.0,
    level: float = 0.95,
    claimed: float | None = None,
) -> EpsilonBound:
    """Bounds epsilon from how often an attack accepts, over runs trained with and without the canary.

    Every trial is a training run of its own: several canaries of one run are not independent, and the bound
    does not hold for them. The rule that accepts was fixed beforehand. Any (epsilon, delta)-private training
    has tpr <= e^epsilon fpr + delta, and 1 - fpr <= e^epsilon (1 - tpr) + delta (Jagielski, Ullman and Oprea,
    2006.07709). Both are read off the same two limits, each of which fails with half the level's chance.

    Args:
        true_positives: Runs with the canary that the attack accepts.
        runs_with: Independent runs with the canary.
        false_positives: Runs without it that the attack accepts.
        runs_without: Independent runs without it.
        unit: What is put in or left out.
        delta: The delta of the claim.
        level: Confidence of the bound.
        claimed: An epsilon that the bound is to be held against.

    Returns:
        The bound in nats: 4.542 for 500 of 500 against 0 of 500 at 99 %. Undefined if perfect success would
        not have reached the claim.

    Raises:
        ValueError: A count exceeds its runs, there are none on a side, or level or delta are out of range.
    """
    check_terms(level, delta)
    for count, runs in ((true_positives, runs_with), (false_positives, runs_without)):
        if runs < 1 or not 0 <= count <= runs:
            raise ValueError(f"runs: {count} of {runs} is no rate")
    counts = np.array([true_positives]), np.array([false_positives])
    value = float(_bounds(*counts, runs_with, runs_without, delta, 1 - level)[0])
    ceiling = _ceiling(runs_with, runs_without, delta, 1 - level)
    reason = _too_few(ceiling, claimed, delta, 1 - level, 1.0)
    accepted = true_positives + false_positives
    return _result(value, ceiling, level, delta, unit, "threshold fixed beforehand", accepted, reason)


def epsilon_from_scores_of_independent_runs(
    scores: FloatArray,
    included: BoolArray,
    runs: Sequence[str],
    threshold: float | Sequence[float] | Split = DEFAULT_SPLIT,
    *,
    unit: str,
    delta: float = 0.0,
    level: float = 0.95,
    claimed: float | None = None,
) -> EpsilonBound:
    """Bounds epsilon from one score per independent training run, with the choice of a threshold paid for.

    Args:
        scores: ``(n,)`` scores, higher where the canary seems to be in.
        included: ``(n,)`` whether the run was trained with the canary.
        runs: Id or digest of each score's training run; the runs of one score each are what the bound needs.
        threshold: A threshold fixed beforehand (at or above it is accepted); several fixed ones, among which
            the best is taken with Bonferroni's correction; or `Split`, which chooses among all on a part.
        unit: What is put in or left out.
        delta: The delta of the claim.
        level: Confidence of the bound.
        claimed: An epsilon that the bound is to be held against.

    Returns:
        The bound in nats, see `epsilon_from_independent_runs`.

    Raises:
        ValueError: A run gave two scores, arrays differ in length, a score is not finite, a side has no run,
            no threshold is given, or level or delta are out of range.
    """
    check_terms(level, delta)
    _check_runs(scores, included, runs)
    tail, used = 1 - level, 1.0
    if isinstance(threshold, Split):
        order = np.random.default_rng(threshold.seed).permutation(len(scores))
        first, rest = np.split(order, [round(threshold.share * len(scores))])
        levels = _best_threshold(scores[first], included[first], delta, tail)
        scores, included, used = scores[rest], included[rest], 1 - threshold.share
        chosen = f"threshold chosen on {len(first)} of {len(order)} runs"
    else:
        levels = np.atleast_1d(np.asarray(threshold, dtype=np.float64))
        if not len(levels):
            raise ValueError("threshold: there is none")
        tail /= len(levels)
        many = f"best of {len(levels)} thresholds fixed beforehand, Bonferroni"
        chosen = many if len(levels) > 1 else "threshold fixed beforehand"
    true, false = _accepted(scores[included], levels), _accepted(scores[~included], levels)
    sides = int(included.sum()), int((~included).sum())
    found = _bounds(true, false, *sides, delta, tail)
    best = int(np.argmax(found))
    ceiling = _ceiling(*sides, delta, tail)
    reason = _too_few(ceiling, claimed, delta, tail, used)
    guesses = int(true[best] + false[best])
    return _result(float(found[best]), ceiling, level, delta, unit, chosen, guesses, reason)


def independent_runs_needed(claimed: float, delta: float = 0.0, level: float = 0.95) -> int | None:
    """Returns how many independent runs per side a perfect attack needs to reach a claimed epsilon.

    Args:
        claimed: The epsilon, in nats.
        delta: The delta of the claim.
        level: Confidence of the bound.

    Returns:
        Runs with the canary, with as many without it; None if 100,000 are not enough.

    Raises:
        ValueError: Level or delta are out of range.
    """
    check_terms(level, delta)
    return fewest(lambda runs: _ceiling(runs, runs, delta, 1 - level) >= claimed)


def _check_runs(scores: FloatArray, included: BoolArray, runs: Sequence[str]) -> None:
    if not len(scores) == len(included) == len(runs):
        raise ValueError(f"runs: {len(scores)} scores, {len(included)} flags and {len(runs)} runs")
    if len(set(runs)) < len(runs):
        raise ValueError("runs: one gave two scores; the bound needs an independent run for each")
    if not np.isfinite(scores).all():
        raise ValueError("scores: one is not finite")
    if included.all() or not included.any():
        raise ValueError("included: there must be runs with and without the canary")


def _accepted(scores: FloatArray, thresholds: FloatArray) -> IntArray:
    """Number of scores at or above each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left").astype(np.int64)


def _best_threshold(scores: FloatArray, included: BoolArray, delta: float, tail: float) -> FloatArray:
    """The threshold with the largest uncorrected bound on these runs, ``(1,)``."""
    thresholds = np.unique(scores)
    if not len(thresholds):
        raise ValueError("share: no run is left to choose the threshold on")
    inside, outside = scores[included], scores[~included]
    found = _bounds(
        _accepted(inside, thresholds),
        _accepted(outside, thresholds),
        len(inside),
        len(outside),
        delta,
        tail,
    )
    best = int(np.argmax(found))
    return thresholds[best : best + 1]


def _bounds(
    true: IntArray, false: IntArray, runs_with: int, runs_without: int, delta: float, tail: float
) -> FloatArray:
    """The larger of both directions' bounds for each pair of counts; the two limits share the ``tail``."""
    low = np.zeros(len(true))
    some = true > 0
    low[some] = betaincinv(true[some], runs_with - true[some] + 1, tail / 2)
    high = np.ones(len(false))
    some = false < runs_without
    high[some] = betaincinv(false[some] + 1, runs_without - false[some], 1 - tail / 2)
    ratios = np.array([(low - delta) / high, (1 - high - delta) / (1 - low)])
    return np.asarray(np.log(np.maximum(ratios.max(axis=0), 1.0)))


def _ceiling(runs_with: int, runs_without: int, delta: float, tail: float) -> float:
    return float(_bounds(np.array([runs_with]), np.array([0]), runs_with, runs_without, delta, tail)[0])


def _too_few(ceiling: float, claimed: float | None, delta: float, tail: float, used: float) -> str:
    """The reason why these runs cannot reach the claim; ``used`` is the share of runs that give the bound."""

    def needed() -> int | None:
        number = fewest(lambda runs: _ceiling(runs, runs, delta, tail) >= (claimed or 0.0))
        return None if number is None else math.ceil(number / used)

    return shortfall(ceiling, claimed, needed, "independent runs with and as many without the canary")


def _result(
    value: float,
    ceiling: float,
    level: float,
    delta: float,
    unit: str,
    chosen: str,
    accepted: int,
    reason: str,
) -> EpsilonBound:
    how = f"independent runs, Clopper-Pearson; {chosen}"
    if reason:
        return EpsilonBound(None, ceiling, level, delta, unit, how, "", None, reason)
    return EpsilonBound(value, ceiling, level, delta, unit, how, "", accepted, "")
