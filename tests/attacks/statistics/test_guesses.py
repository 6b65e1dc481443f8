"""Guesses from one run: how many, ties, ceilings below the claim, and what is no record of coin flips."""

from collections.abc import Callable

import numpy as np
import pytest

from attacks.statistics import (
    CoinFlips,
    EpsilonBound,
    Guesses,
    GuessGrid,
    Split,
    epsilon_f_dp,
    epsilon_one_run,
    f_dp_epsilon,
    one_run_ceiling,
    one_run_epsilon,
)
from attacks.statistics.guesses import correct_guesses

DIGEST = "0123456789abcdef" * 4
OneRunBound = Callable[..., EpsilonBound]


def coin_flips(rng: np.random.Generator, canaries: int) -> CoinFlips:
    return CoinFlips(rng.integers(0, 2, canaries) == 1, DIGEST)


PLANS = [Guesses(20, 20), Guesses(20), GuessGrid(), Split()]


class TestScores:
    @pytest.mark.parametrize("bound", [epsilon_one_run, epsilon_f_dp])
    def test_a_number_fixed_beforehand(self, bound: OneRunBound) -> None:
        rng = np.random.default_rng(5)
        flips = coin_flips(rng, 300)
        scores = rng.normal(0, 1, 300) + 2 * flips.inclusion
        found = bound(scores, flips, Guesses(30, 50), unit="example", delta=1e-5)
        order = np.argsort(scores)
        correct = int(flips.inclusion[order[-30:]].sum() + (~flips.inclusion[order[:50]]).sum())
        formula = one_run_epsilon if bound is epsilon_one_run else f_dp_epsilon
        assert found.value == formula(300, 80, correct, 1e-5)
        assert found.ceiling == formula(300, 80, 80, 1e-5)
        assert (found.guesses, found.level, found.delta, found.unit) == (80, 0.95, 1e-5, "example")
        assert found.assumption == ("" if bound is epsilon_one_run else "a Gaussian trade-off")

    def test_a_grid_is_paid_for(self) -> None:
        rng = np.random.default_rng(6)
        flips = coin_flips(rng, 300)
        scores = rng.normal(0, 1, 300) + 2 * flips.inclusion
        grid = GuessGrid(((0.5, 0.5), (0.1, 0.1), (0.01, 0.0)))
        found = epsilon_one_run(scores, flips, grid, unit="example")
        # Three guesses cannot refute anything at 5 %, so two numbers are left.
        level = 1 - 0.05 / 2
        alone = [
            epsilon_one_run(scores, flips, Guesses(n, n), unit="example", level=level).value
            for n in (150, 30)
        ]
        assert found.value == max(value for value in alone if value is not None)
        assert found.ceiling == pytest.approx(one_run_ceiling(300, 0.0, level))
        assert "best of 2 numbers of guesses fixed beforehand, Bonferroni" in found.how
        # Every canary of an odd number is guessed about once.
        odd = epsilon_one_run(scores[:299], CoinFlips(flips.inclusion[:299], DIGEST), grid, unit="example")
        assert odd.ceiling == pytest.approx(one_run_ceiling(299, 0.0, level))

    def test_a_split_chooses_on_other_canaries(self) -> None:
        rng = np.random.default_rng(7)
        flips = coin_flips(rng, 400)
        scores = rng.normal(0, 1, 400) + 3 * flips.inclusion
        found = epsilon_one_run(scores, flips, Split(0.25, seed=3), unit="example")
        rest = np.random.default_rng(3).permutation(400)[100:]
        turned = scores.copy()
        turned[rest] = -turned[rest]
        assert found.value is not None
        assert found.value > 1
        assert found.ceiling == pytest.approx(one_run_epsilon(300, 240, 240))
        assert epsilon_one_run(turned, flips, Split(0.25, seed=3), unit="example").value == 0.0
        with pytest.raises(ValueError, match="leaves a part empty"):
            epsilon_one_run(scores[:2], coin_flips(rng, 2), Split(0.01), unit="example")
        with pytest.raises(ValueError, match="share"):
            Split(1.0)

    @pytest.mark.parametrize("bound", [epsilon_one_run, epsilon_f_dp])
    @pytest.mark.parametrize("plan", PLANS, ids=str)
    def test_tied_scores_say_nothing_in_any_order(
        self, bound: OneRunBound, plan: Guesses | GuessGrid | Split
    ) -> None:
        flips = coin_flips(np.random.default_rng(8), 200)
        assert bound(np.zeros(200), flips, plan, unit="example", delta=1e-6).value == 0.0
        # Sorted by membership no record of coin flips is accepted, so the guesses themselves are counted.
        ordered = np.sort(flips.inclusion)[::-1]
        right = correct_guesses(np.zeros(200), ordered, Guesses(100, 100))
        assert abs(right - 100) < 30

    def test_ties_keep_the_number_of_guesses(self) -> None:
        rng = np.random.default_rng(9)
        flips = coin_flips(rng, 200)
        coarse = flips.inclusion.astype(float)
        assert correct_guesses(coarse, flips.inclusion, Guesses(50, 50)) == 100
        found = epsilon_one_run(coarse, flips, Guesses(50, 50), unit="example")
        assert found.value == one_run_epsilon(200, 100, 100)

    @pytest.mark.parametrize("bound", [epsilon_one_run, epsilon_f_dp])
    @pytest.mark.parametrize("plan", PLANS, ids=str)
    def test_a_ceiling_below_the_claim(self, bound: OneRunBound, plan: Guesses | GuessGrid | Split) -> None:
        rng = np.random.default_rng(10)
        flips = coin_flips(rng, 50)
        found = bound(flips.inclusion.astype(float), flips, plan, unit="example", delta=1e-9, claimed=9.0)
        assert found.value is None
        assert found.guesses is None
        assert found.ceiling < 9.0
        needed = int(found.reason.split("≥ ")[1].split()[0].replace(",", ""))
        if not isinstance(plan, Guesses):
            for canaries, defined in ((needed, True), (needed - 1, False)):
                many = coin_flips(rng, canaries)
                scores = many.inclusion.astype(float)
                again = bound(scores, many, plan, unit="example", delta=1e-9, claimed=9.0)
                assert (again.value is not None) == defined
        easy = bound(flips.inclusion.astype(float), flips, plan, unit="example", delta=1e-9, claimed=0.5)
        assert easy.value is not None
        assert 0.5 < easy.value <= easy.ceiling
        assert easy.reason == ""

    def test_out_of_reach(self) -> None:
        flips = coin_flips(np.random.default_rng(11), 50)
        found = epsilon_one_run(np.zeros(50), flips, unit="example", delta=1e-4, claimed=9.0)
        assert found.reason.startswith("undefined: needs more than 100,000 canaries")

    def test_what_does_not_fit(self) -> None:
        flips = coin_flips(np.random.default_rng(12), 20)
        with pytest.raises(ValueError, match="coin flips"):
            epsilon_one_run(np.zeros(19), flips, unit="example")
        with pytest.raises(ValueError, match="not finite"):
            epsilon_one_run(np.full(20, np.inf), flips, unit="example")
        with pytest.raises(ValueError, match=r"15 \+ 6 of 20"):
            epsilon_one_run(np.zeros(20), flips, Guesses(15, 6), unit="example")
        for shares in ((), ((0.6, 0.6),), ((0.0, 0.0),), ((-0.1, 0.3),)):
            with pytest.raises(ValueError, match="shares"):
                epsilon_one_run(np.zeros(20), flips, GuessGrid(shares), unit="example")


class TestCoinFlips:
    def test_a_list_made_afterwards_is_refused(self) -> None:
        rng = np.random.default_rng(13)
        flips = rng.integers(0, 2, 200) == 1
        with pytest.raises(TypeError, match="commitment"):
            CoinFlips(flips)  # type: ignore[call-arg]
        for commitment in ("", "members.jsonl", DIGEST.upper(), DIGEST[:-1]):
            with pytest.raises(ValueError, match="commitment"):
                CoinFlips(flips, commitment)
        for listed in (np.sort(flips), np.sort(flips)[::-1], np.arange(200) < 20, np.ones(40, dtype=bool)):
            with pytest.raises(ValueError, match="are no coin flips"):
                CoinFlips(listed, DIGEST)
        with pytest.raises(ValueError, match=r"one half, not 0\.3"):
            CoinFlips(flips, DIGEST, 0.3)
        with pytest.raises(ValueError, match="one flag per canary"):
            CoinFlips(flips.astype(np.float64), DIGEST)

    def test_scores_alone_are_not_enough(self) -> None:
        with pytest.raises(AttributeError):
            epsilon_one_run(np.zeros(4), np.array([True, False, True, False]), unit="example")  # type: ignore[arg-type]

    def test_few_flips_may_fall_in_any_order(self) -> None:
        assert CoinFlips(np.arange(8) < 4, DIGEST).inclusion.sum() == 4
        for seed in range(200):
            coin_flips(np.random.default_rng(seed), 400)
