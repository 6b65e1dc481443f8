"""Lower bounds on epsilon beside what an accountant claims: a bound above the claim is an error in one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attacks.statistics.epsilon import EpsilonBound

ERROR_LEVEL = 0.999
WARNING_LEVEL = 0.95


@dataclass(frozen=True)
class Claim:
    """An upper bound on epsilon from an accountant, and the audit that it is held against.

    Attributes:
        name: What it is about, e.g. a sharer's module.
        epsilon: The claimed upper bound, in nats.
        delta: Its delta.
        unit: What may be put in or left out, e.g. ``example``. A canary that occurs several times, or in
            several examples, is no example: a per-example claim says nothing about it.
        bound: Gives the lower bound at a level; the plan and the scores are fixed in it.
    """

    name: str
    epsilon: float
    delta: float
    unit: str
    bound: Callable[[float], EpsilonBound]


@dataclass(frozen=True)
class ClaimVerdict:
    """What the audit says about one claim.

    Attributes:
        name: The claim's name.
        claimed: The claimed epsilon.
        lower: The lower bound at the level that the verdict rests on.
        verdict: ``error`` if the bound exceeds the claim at 99.9 %, ``warning`` if only at 95 %, ``ok`` if
            not, ``undefined`` if perfect guesses would not have exceeded it.
        reason: In words.
    """

    name: str
    claimed: float
    lower: EpsilonBound
    verdict: str
    reason: str


def check_claims(claims: Sequence[Claim]) -> list[ClaimVerdict]:
    """Holds lower bounds against claimed upper bounds on epsilon, with Bonferroni's correction over them.

    An ``ok`` proves nothing: a lower bound below the claim is what a true claim and a weak attack both give.

    Args:
        claims: All claims that one report states a verdict on.

    Returns:
        A verdict per claim, in order. Both levels hold for all claims together.

    Raises:
        ValueError: A bound is about another unit than its claim, or about a smaller delta.
    """
    return [_verdict(claim, len(claims)) for claim in claims]


def _verdict(claim: Claim, family: int) -> ClaimVerdict:
    strict, lower = (claim.bound(1 - (1 - level) / family) for level in (ERROR_LEVEL, WARNING_LEVEL))
    for found in (strict, lower):
        if found.unit != claim.unit:
            raise ValueError(f"{claim.name}: a bound per {found.unit} against a claim per {claim.unit}")
        if found.delta < claim.delta:
            raise ValueError(f"{claim.name}: a bound at delta {found.delta} against a claim at {claim.delta}")
    for found, level, verdict in ((strict, ERROR_LEVEL, "error"), (lower, WARNING_LEVEL, "warning")):
        if found.value is not None and found.value > claim.epsilon:
            over = f"at least {found.value:.3f} at {level:.1%} over {family} bounds"
            return ClaimVerdict(
                claim.name, claim.epsilon, found, verdict, f"{over}, claimed {claim.epsilon:g}"
            )
    if lower.value is None:
        return ClaimVerdict(claim.name, claim.epsilon, lower, "undefined", lower.reason)
    if lower.ceiling <= claim.epsilon:
        low = f"undefined: the ceiling {lower.ceiling:.2f} does not exceed the claim {claim.epsilon:g}"
        return ClaimVerdict(claim.name, claim.epsilon, lower, "undefined", low)
    below = f"the bound {lower.value:.3f} does not exceed the claim {claim.epsilon:g}"
    return ClaimVerdict(claim.name, claim.epsilon, lower, "ok", below)
