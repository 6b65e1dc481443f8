"""Lower bounds beside an accountant's claims: who is caught, who is not, and what cannot be compared."""

from collections.abc import Callable

import numpy as np
import pytest

from attacks.arrays import FloatArray
from attacks.statistics import (
    Claim,
    CoinFlips,
    EpsilonBound,
    check_claims,
    epsilon_f_dp,
    epsilon_one_run,
    gaussian_epsilon,
)

DIGEST = "f" * 64


def flips(seed: int, canaries: int) -> CoinFlips:
    return CoinFlips(np.random.default_rng(seed).integers(0, 2, canaries) == 1, DIGEST)


def audit(scores: FloatArray, coins: CoinFlips, delta: float = 1e-5) -> Callable[[float], EpsilonBound]:
    return lambda level: epsilon_one_run(scores, coins, unit="example", delta=delta, level=level)


def given(value: float, ceiling: float = 9.0) -> Callable[[float], EpsilonBound]:
    """A bound that gives up a tenth of itself for every factor of ten in its level."""
    return lambda level: EpsilonBound(
        value * (1 + 0.1 * np.log10(1 - level)), ceiling, level, 1e-5, "example", "", "", 10, ""
    )


@pytest.mark.parametrize(("bound", "family"), [(epsilon_one_run, 1), (epsilon_f_dp, 12)])
def test_a_trainer_without_noise_is_caught(bound: Callable[..., EpsilonBound], family: int) -> None:
    # 200 canaries that are told apart perfectly, against a claim of epsilon = 1.
    for seed in range(20):
        coins = flips(seed, 200)
        scores = coins.inclusion + np.random.default_rng([2, seed]).uniform(0, 0.5, 200)

        def at(level: float, scores: FloatArray = scores, coins: CoinFlips = coins) -> EpsilonBound:
            return bound(scores, coins, unit="example", delta=1e-5, level=level, claimed=1.0)

        found = check_claims([Claim("sharer", 1.0, 1e-5, "example", at)] * family)
        assert [verdict.verdict for verdict in found] == ["error"] * family
        assert found[0].reason.endswith(f"at 99.9% over {family} bounds, claimed 1")
        assert found[0].lower.level == pytest.approx(1 - 0.001 / family)


def test_many_claims_at_a_large_delta_are_not_refuted_by_one_run() -> None:
    # 2 m delta alone takes more than a thousandth of a twelfth: then even perfect guesses refute nothing.
    coins = flips(1, 200)
    claim = Claim("sharer", 1.0, 1e-5, "example", audit(coins.inclusion.astype(float), coins))
    assert {verdict.verdict for verdict in check_claims([claim] * 12)} == {"warning"}
    assert claim.bound(1 - 0.001 / 12).ceiling == 0.0


def test_the_levels_and_their_correction() -> None:
    # At 99.9 % the bound is .7 of its value, at 95 % .87; over ten claims .6 and .77.
    for value, alone, among_ten in ((1.5, "error", "warning"), (1.2, "warning", "ok"), (1.1, "ok", "ok")):
        claim = Claim("a", 1.0, 1e-5, "example", given(value))
        assert check_claims([claim])[0].verdict == alone
        assert {verdict.verdict for verdict in check_claims([claim] * 10)} == {among_ten}


def test_a_true_claim_is_not_called_wrong() -> None:
    rng = np.random.default_rng(3)
    truth, verdicts = gaussian_epsilon(0.5, 1e-5), set()
    for seed in range(40):
        coins = flips(seed, 500)
        scores = rng.normal(0, 1, 500) + 0.5 * coins.inclusion
        claim = Claim("a", truth, 1e-5, "example", audit(scores, coins))
        verdicts.add(check_claims([claim])[0].verdict)
    assert verdicts == {"ok"}


def test_what_could_not_have_been_seen_is_undefined() -> None:
    coins = flips(4, 24)
    perfect = coins.inclusion.astype(float)
    (found,) = check_claims([Claim("a", 8.0, 1e-5, "example", audit(perfect, coins))])
    assert found.verdict == "undefined"
    assert "does not exceed the claim 8" in found.reason
    (found,) = check_claims(
        [
            Claim(
                "a",
                6.0,
                1e-5,
                "example",
                lambda level: epsilon_one_run(
                    perfect, coins, unit="example", delta=1e-5, level=level, claimed=6.0
                ),
            )
        ]
    )
    assert found.verdict == "undefined"
    assert found.reason.startswith("undefined: needs m ≥ ")


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="a: a bound per example against a claim per user"):
        check_claims([Claim("a", 1.0, 1e-5, "user", given(1.0))])
    with pytest.raises(ValueError, match=r"a: a bound at delta 1e-05 against a claim at 0\.001"):
        check_claims([Claim("a", 1.0, 1e-3, "example", given(1.0))])
    # A bound at a larger delta refutes the claim all the more.
    assert check_claims([Claim("a", 1.0, 1e-6, "example", given(3.0))])[0].verdict == "error"
