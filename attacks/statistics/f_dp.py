"""A lower bound on epsilon from one run under a Gaussian trade-off (Mahloujifar et al. 2024, 2410.22235)."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import scipy
from scipy.special import log_ndtr

from attacks.arrays import FloatArray
from attacks.statistics.epsilon import EpsilonBound, check_terms, fewest, largest_refuted
from attacks.statistics.guesses import DEFAULT_PLAN, CoinFlips, Plan, bound_from_guesses

# One quantile at a time: the standard library's is several times faster than an array function on a number.
_quantile = NormalDist().inv_cdf
_ROOT_HALF = math.sqrt(0.5)
_TOLERANCE = 1e-12


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Returns the epsilon of the Gaussian mechanism with sensitivity over noise of ``mu``.

    The root of delta = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu) (Dong, Roth and Su,
    1905.02383, corollary 2.13; Balle and Wang 2018), in logarithms.

    Args:
        mu: Sensitivity over standard deviation, at least 0.
        delta: In (0, 1).

    Returns:
        Epsilon in nats: 4.887 for mu = 1 and 10.997 for mu = 2 at delta = 1e-6; 0 where delta alone covers
        the mechanism.

    Raises:
        ValueError: Mu is negative or delta is not in (0, 1).
    """
    if mu < 0 or not 0 < delta < 1:
        raise ValueError(f"mu, delta: must be at least 0 and in (0, 1), not {mu} and {delta}")
    if mu == 0 or _log_delta(0.0, mu) <= math.log(delta):
        return 0.0
    high = 1.0
    while _log_delta(high, mu) > math.log(delta):
        high *= 2
    return float(
        scipy.optimize.brentq(lambda e: _log_delta(e, mu) - math.log(delta), 0.0, high, xtol=_TOLERANCE)
    )


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Returns the mu whose `gaussian_epsilon` is this epsilon.

    Args:
        epsilon: In nats, at least 0.
        delta: In (0, 1).

    Returns:
        Sensitivity over standard deviation.

    Raises:
        ValueError: Epsilon is negative or delta is not in (0, 1).
    """
    if epsilon < 0 or not 0 < delta < 1:
        raise ValueError(f"epsilon, delta: must be at least 0 and in (0, 1), not {epsilon} and {delta}")
    low, high = 1.0, 1.0
    while _log_delta(epsilon, low) > math.log(delta):
        low /= 2
    while _log_delta(epsilon, high) < math.log(delta):
        high *= 2
    if low == high:
        return low
    return float(
        scipy.optimize.brentq(
            lambda mu: _log_delta(epsilon, mu) - math.log(delta), low, high, xtol=_TOLERANCE
        )
    )


def _log_delta(epsilon: float, mu: float) -> float:
    """Logarithm of the delta that belongs to an epsilon of the Gaussian mechanism; rises with mu."""
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    second = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
    return first + math.log(-math.expm1(second - first)) if second < first else -math.inf


def f_dp_refutes(canaries: int, guesses: int, correct: int, mu: float, p: float) -> bool:
    """Says whether a Gaussian trade-off is refuted by so many correct guesses.

    2410.22235, algorithm 3, for inclusion by a fair coin (k = 2) and f(x) = Phi(Phi^-1(1 - x) - mu): it
    bounds, from the observed number of correct guesses downwards, how the probability of more correct guesses
    than i divides among the canaries that are guessed rightly (r) and wrongly (h).

    Args:
        canaries: Canaries whose inclusion a fair coin decided.
        guesses: Guesses made; their number was fixed beforehand.
        correct: Correct ones.
        mu: Of the trade-off, at least 0.
        p: Chance of error.

    Returns:
        True if so many correct guesses have a probability below ``p``.

    Raises:
        ValueError: Not 0 <= correct <= guesses <= canaries with at least one guess.
    """
    if not 0 <= correct <= guesses <= canaries or guesses < 1:
        raise ValueError(f"guesses: {correct} correct of {guesses} about {canaries} canaries")
    right, wrong = p * correct / canaries, p * (guesses - correct) / canaries
    goal = guesses / canaries
    for i in range(correct - 1, -1, -1):
        # The trade-off's inverse at `right`; `right` is below the goal, hence below 1.
        needed = 0.5 * math.erfc((mu - _quantile(right)) * _ROOT_HALF)
        if needed <= wrong:
            return False  # nothing changes any more
        right += i / (guesses - i) * (needed - wrong)
        wrong = needed
        if right + wrong >= goal:
            return True
    return False


@dataclass(frozen=True)
class GaussianTradeOff:
    """The formula of `f_dp_refutes`, turned into an epsilon at a delta."""

    delta: float
    name: str = "f-DP, Mahloujifar et al. 2024"
    assumption: str = "a Gaussian trade-off"

    def __post_init__(self) -> None:
        """Refuses delta = 0, at which no Gaussian mechanism has an epsilon."""
        if not 0 < self.delta < 1:
            raise ValueError(
                f"delta: a Gaussian trade-off has an epsilon for delta in (0, 1), not {self.delta}"
            )

    def largest(self, canaries: int, guesses: int, correct: int, p: float) -> float:
        """Returns the largest epsilon that is refuted with an error of at most p; 0 if none is."""
        mu = largest_refuted(lambda value: f_dp_refutes(canaries, guesses, correct, value, p))
        return gaussian_epsilon(mu, self.delta)

    def refutes(self, canaries: int, guesses: int, correct: int, epsilon: float, p: float) -> bool:
        """Says whether an epsilon is refuted with an error of at most p."""
        return f_dp_refutes(canaries, guesses, correct, gaussian_mu(epsilon, self.delta), p)


def f_dp_epsilon(canaries: int, guesses: int, correct: int, delta: float, level: float = 0.95) -> float:
    """Returns the largest epsilon of a Gaussian mechanism that so many correct guesses refute.

    Args:
        canaries: Canaries whose inclusion a fair coin decided.
        guesses: Guesses made; their number was fixed beforehand.
        correct: Correct ones.
        delta: In (0, 1).
        level: Confidence of the bound.

    Returns:
        Epsilon in nats, assuming a Gaussian trade-off; 0 if none is refuted.

    Raises:
        ValueError: The counts do not fit, or level or delta are out of range.
    """
    check_terms(level, delta)
    return GaussianTradeOff(delta).largest(canaries, guesses, correct, 1 - level)


def f_dp_ceiling(canaries: int, delta: float, level: float = 0.95) -> float:
    """Returns the bound that perfect guesses about all canaries give; arguments as `f_dp_epsilon`."""
    return f_dp_epsilon(canaries, canaries, canaries, delta, level)


def f_dp_canaries_needed(claimed: float, delta: float, level: float = 0.95) -> int | None:
    """Returns how many canaries perfect guesses need to reach a claimed epsilon; None if over 100,000.

    Args:
        claimed: The epsilon, in nats.
        delta: In (0, 1).
        level: Confidence of the bound.

    Raises:
        ValueError: Level or delta are out of range.
    """
    check_terms(level, delta)
    return fewest(lambda m: GaussianTradeOff(delta).refutes(m, m, m, claimed, 1 - level))


def epsilon_f_dp(
    scores: FloatArray,
    flips: CoinFlips,
    plan: Plan = DEFAULT_PLAN,
    *,
    unit: str,
    delta: float,
    level: float = 0.95,
    claimed: float | None = None,
) -> EpsilonBound:
    """Bounds epsilon from the scores of one run's canaries, assuming a Gaussian trade-off (2410.22235).

    Where training adds Gaussian noise it is about twice as large as `epsilon_one_run`; for a mechanism of
    another kind it says nothing.

    Args:
        scores: ``(m,)`` scores, higher where the canary seems to be in.
        flips: The recorded coin flips, in the order of the scores.
        plan: `Guesses` fixed beforehand, a `GuessGrid` with Bonferroni's correction, or a `Split`.
        unit: What a canary is, e.g. ``example`` if it is one example that occurs once.
        delta: Of the claim, in (0, 1).
        level: Confidence of the bound.
        claimed: An epsilon that the bound is to be held against.

    Returns:
        The bound in nats; undefined, with the canaries needed, if its ceiling lies below the claim.

    Raises:
        ValueError: Scores and flips differ in number, a score is not finite, the plan does not fit, or level
            or delta are out of range.
    """
    formula = GaussianTradeOff(delta)
    return bound_from_guesses(scores, flips, plan, formula, unit=unit, level=level, claimed=claimed)
