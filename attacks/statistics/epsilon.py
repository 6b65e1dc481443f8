"""What a lower bound on epsilon states, and how large a trial would have to be to reach a claim."""

from collections.abc import Callable
from dataclasses import dataclass

# No search for a sufficient number of trials goes beyond this.
MOST_TRIALS = 100_000
# Bisections stop at this distance, always on the side where the claim is refuted.
_STEP = 1e-9


@dataclass(frozen=True)
class EpsilonBound:
    """A lower bound on the epsilon of (epsilon, delta)-differential privacy, from an attack's success.

    Attributes:
        value: The bound in nats, 0 if nothing is refuted; None if the trial could not have reached the claim.
        ceiling: The bound that perfect guesses would have given in this trial.
        level: Confidence of the bound.
        delta: The delta at which it holds.
        unit: What is put in or left out, e.g. ``example``; two bounds compare only at the same unit.
        how: The construction and how its threshold was chosen, in words.
        assumption: What it supposes beside the design; empty if nothing.
        guesses: Guesses behind the value (with independent runs: runs that the attack accepted); None if it
            has none.
        reason: Why the value is missing; empty otherwise.
    """

    value: float | None
    ceiling: float
    level: float
    delta: float
    unit: str
    how: str
    assumption: str
    guesses: int | None
    reason: str


@dataclass(frozen=True)
class Split:
    """Chooses the threshold on a random part of the trials; the others alone, at full level, give the bound.

    Attributes:
        share: Share of the trials that the choice is made on, in (0, 1).
        seed: Of the shuffle that divides them. It knows positions only, so it is no choice by the outcome.
    """

    share: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses a share that leaves a part empty."""
        if not 0 < self.share < 1:
            raise ValueError(f"share: must lie in (0, 1), not {self.share}")


def check_terms(level: float, delta: float) -> None:
    """Refuses a level outside (1/2, 1) or a delta outside [0, 1).

    Raises:
        ValueError: One of them is outside.
    """
    if not 0.5 < level < 1:
        raise ValueError(f"level: must lie in (.5, 1), not {level}")
    if not 0 <= delta < 1:
        raise ValueError(f"delta: must lie in [0, 1), not {delta}")


def largest_refuted(refutes: Callable[[float], bool], high: float | None = None) -> float:
    """Returns the largest value that is refuted, by bisection; refutation must end once and for all.

    Args:
        refutes: Says whether a value is refuted.
        high: A value that is not refuted; searched for by doubling if it is None.

    Returns:
        A value that is refuted, within 1e-9 of the largest; 0 if none is.
    """
    if not refutes(0.0):
        return 0.0
    low = 0.0
    if high is None:
        high = 1.0
        while refutes(high):
            low, high = high, 2 * high
    while high - low > _STEP * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return low


def fewest(reaches: Callable[[int], bool]) -> int | None:
    """Returns the smallest number of trials that reaches something, by doubling and bisection.

    Args:
        reaches: Says whether a number of trials is enough; true for all larger ones where true for one.

    Returns:
        The number; None if 100,000 are not enough.
    """
    high = 1
    while not reaches(high):
        if high == MOST_TRIALS:
            return None
        high = min(2 * high, MOST_TRIALS)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def shortfall(ceiling: float, claimed: float | None, needed: Callable[[], int | None], trials: str) -> str:
    """Says why a trial could not have refuted a claim; empty if it could have, or nothing is claimed.

    Args:
        ceiling: The largest bound that the trial can give.
        claimed: The claimed epsilon, or None.
        needed: Finds the number of trials whose ceiling reaches the claim.
        trials: What is counted, in words.

    Returns:
        The reason, with that number.
    """
    if claimed is None or ceiling >= claimed:
        return ""
    number = needed()
    enough = f"more than {MOST_TRIALS:,}" if number is None else f"m ≥ {number:,}"
    return f"undefined: needs {enough} {trials}; the ceiling here is {ceiling:.2f}, the claim {claimed:g}"
