"""A lower bound on epsilon from one training run with many canaries (Steinke, Nasr and Jagielski 2023)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc, betaincinv, expit, logit

from attacks.arrays import FloatArray
from attacks.statistics.epsilon import EpsilonBound, check_terms, fewest, largest_refuted
from attacks.statistics.guesses import DEFAULT_PLAN, CoinFlips, Plan, bound_from_guesses


def one_run_p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float = 0.0) -> float:
    """Returns how likely so many correct guesses are under (epsilon, delta)-privacy, at most.

    2305.08846, theorem 5.2: with W binomial over the guesses with chance e^epsilon / (1 + e^epsilon), it is
    P(W >= v) + 2 m delta max_i P(v - i <= W < v) / i.

    Args:
        canaries: Canaries whose inclusion a fair coin decided, m.
        guesses: Guesses made, r; their number was fixed beforehand.
        correct: Correct ones, v.
        epsilon: In nats, at least 0.
        delta: Of the claim.

    Returns:
        The p-value.

    Raises:
        ValueError: Not 0 <= v <= r <= m with at least one guess.
    """
    if not 0 <= correct <= guesses <= canaries or guesses < 1:
        raise ValueError(f"guesses: {correct} correct of {guesses} about {canaries} canaries")
    chance = float(expit(epsilon))
    reached = float(bdtrc(correct - 1, guesses, chance))
    if delta == 0 or correct == 0:
        return reached
    i = np.arange(1, correct + 1)
    just_below = float(np.max((bdtrc(correct - i - 1, guesses, chance) - reached) / i))
    return min(1.0, reached + 2 * canaries * delta * just_below)


def one_run_epsilon(
    canaries: int, guesses: int, correct: int, delta: float = 0.0, level: float = 0.95
) -> float:
    """Returns the largest epsilon whose p-value is at most ``1 - level``.

    Args:
        canaries: Canaries whose inclusion a fair coin decided.
        guesses: Guesses made; their number was fixed beforehand.
        correct: Correct ones.
        delta: Of the claim.
        level: Confidence of the bound.

    Returns:
        Epsilon in nats, 0 if none is refuted: 3.492965 for 100 of 100 at delta = 0.

    Raises:
        ValueError: The counts do not fit, or level or delta are out of range.
    """
    check_terms(level, delta)
    return OneRun(delta).largest(canaries, guesses, correct, 1 - level)


@dataclass(frozen=True)
class OneRun:
    """The formula of `one_run_p_value` at a delta."""

    delta: float
    name: str = "Steinke et al. 2023"
    assumption: str = ""

    def largest(self, canaries: int, guesses: int, correct: int, p: float) -> float:
        """Returns the largest epsilon that is refuted with an error of at most p; 0 if none is."""
        if not correct:
            return 0.0
        # Without delta the bound is Clopper and Pearson's; delta only lowers it.
        exact = max(0.0, float(logit(betaincinv(correct, guesses - correct + 1, p))))
        if exact == 0 or self.delta == 0:
            return exact
        return largest_refuted(lambda e: self.refutes(canaries, guesses, correct, e, p), exact)

    def refutes(self, canaries: int, guesses: int, correct: int, epsilon: float, p: float) -> bool:
        """Says whether an epsilon is refuted with an error of at most p."""
        return one_run_p_value(canaries, guesses, correct, epsilon, self.delta) <= p


def one_run_ceiling(canaries: int, delta: float = 0.0, level: float = 0.95) -> float:
    """Returns the bound that perfect guesses about all canaries give.

    Args:
        canaries: Number of canaries.
        delta: Of the claim.
        level: Confidence of the bound.

    Returns:
        Epsilon in nats; at delta = 0 logit((1 - level)^(1/m)): .79 for 8, 2.02 for 24, 4.19 for 200.

    Raises:
        ValueError: There is no canary, or level or delta are out of range.
    """
    return one_run_epsilon(canaries, canaries, canaries, delta, level)


def canaries_needed(claimed: float, delta: float = 0.0, level: float = 0.95) -> int | None:
    """Returns how many canaries perfect guesses need to reach a claimed epsilon.

    Args:
        claimed: The epsilon, in nats, above 0.
        delta: Of the claim.
        level: Confidence of the bound.

    Returns:
        The number, 8,934 for epsilon = 8 at delta = 0; with a delta None if 100,000 are not enough: no number
        takes this bound far above log((1 - level) / (2 delta)).

    Raises:
        ValueError: Level or delta are out of range.
    """
    check_terms(level, delta)
    if delta == 0:
        return math.ceil(-math.log(1 - level) / math.log1p(math.exp(-claimed)))
    return fewest(lambda m: OneRun(delta).refutes(m, m, m, claimed, 1 - level))


def epsilon_one_run(
    scores: FloatArray,
    flips: CoinFlips,
    plan: Plan = DEFAULT_PLAN,
    *,
    unit: str,
    delta: float = 0.0,
    level: float = 0.95,
    claimed: float | None = None,
) -> EpsilonBound:
    """Bounds epsilon from the scores of one run's canaries (2305.08846).

    It holds for the run that the coins decided: for training, selection and merging together only if the
    canaries went through all of them.

    Args:
        scores: ``(m,)`` scores, higher where the canary seems to be in.
        flips: The recorded coin flips, in the order of the scores.
        plan: `Guesses` fixed beforehand, a `GuessGrid` with Bonferroni's correction, or a `Split`.
        unit: What a canary is, e.g. ``example`` if it is one example that occurs once.
        delta: Of the claim.
        level: Confidence of the bound.
        claimed: An epsilon that the bound is to be held against.

    Returns:
        The bound in nats; undefined, with the canaries needed, if its ceiling lies below the claim.

    Raises:
        ValueError: Scores and flips differ in number, a score is not finite, the plan does not fit, or level
            or delta are out of range.
    """
    return bound_from_guesses(scores, flips, plan, OneRun(delta), unit=unit, level=level, claimed=claimed)
