"""Exposure: ranks, ties, the extrapolation and its test, and the difference from canaries never put in."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom, norm

from attacks import exposure_differences, exposure_ranks, exposures, rank_exposure
from attacks.arrays import FloatArray
from attacks.exposure import FEWEST_REFERENCES

LONG = 2000
REFERENCES = 1024
CEILING = math.log2(REFERENCES)


def null_bits(rng: np.random.Generator, size: int | tuple[int, int]) -> FloatArray:
    """Exposures of canaries that were never put in: every rank is equally likely."""
    return np.asarray(CEILING - np.log2(rng.integers(1, REFERENCES + 2, size)), dtype=np.float64)


class TestRanks:
    def test_the_known_answers(self) -> None:
        # Losses 0, .1, 3.5 and 20 among references of the losses 1 to 16.
        references = -np.arange(1.0, 17.0)
        bits = rank_exposure(np.array([0.0, -0.1, -3.5, -20.0]), references)
        assert bits == pytest.approx([4.0, 4.0, 2.0, -0.087463], abs=5e-7)
        assert exposure_ranks(np.array([0.0, -3.5, -20.0]), references).tolist() == [1, 4, 17]

    def test_the_order_of_the_references_does_not_matter(self) -> None:
        rng = np.random.default_rng(0)
        canaries, references = rng.normal(size=20), rng.normal(size=100)
        one = rank_exposure(canaries, references)
        assert rank_exposure(canaries, rng.permutation(references)).tolist() == one.tolist()
        brute = [1 + sum(reference >= canary for reference in references) for canary in canaries]
        assert exposure_ranks(canaries, references).tolist() == brute

    def test_tied_references_come_first(self) -> None:
        assert exposure_ranks(np.array([-2.0]), np.array([-1.0, -2.0, -2.0, -3.0])).tolist() == [4]

    def test_a_model_that_tells_nothing_apart_exposes_nothing(self) -> None:
        assert rank_exposure(np.array([-5.0]), np.full(1023, -5.0))[0] < 0

    def test_no_canary_is_no_exposure_and_no_reference_is_refused(self) -> None:
        assert rank_exposure(np.zeros(0), np.array([-1.0])).tolist() == []
        with pytest.raises(ValueError, match="references: there are none"):
            rank_exposure(np.array([-1.0]), np.zeros(0))

    @pytest.mark.parametrize("wrong", [np.nan, -np.inf])
    def test_what_is_not_finite_is_refused(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="canaries: a log-probability is not finite"):
            rank_exposure(np.array([wrong]), np.array([-1.0]))
        with pytest.raises(ValueError, match="references: a log-probability is not finite"):
            rank_exposure(np.array([-1.0]), np.array([wrong]))

    def test_a_canary_that_was_never_put_in_has_about_one_and_a_half_bits(self) -> None:
        rng = np.random.default_rng(20260310)
        bits = np.array(
            [rank_exposure(rng.normal(size=1), rng.normal(size=REFERENCES))[0] for _ in range(LONG)]
        )
        assert abs(bits.mean() - 1 / math.log(2)) < 4 * 1.4427 / math.sqrt(LONG)
        assert 1.3 < bits.std() < 1.6
        # P(4 bits or more) = 1 / 16.
        assert binom.ppf(0.0005, LONG, 1 / 16) <= (bits >= 4).sum() <= binom.ppf(0.9995, LONG, 1 / 16)


class TestExtrapolation:
    def test_beyond_every_reference_the_tail_of_the_fit_says_how_far(self) -> None:
        rng = np.random.default_rng(1)
        canaries = np.array([4.5, 6.0])
        found = [exposures(canaries, rng.normal(size=REFERENCES), rng) for _ in range(12)]
        truth = -norm.logsf(canaries) / math.log(2)
        values = np.array([[one.extrapolated for one in some] for some in found if some[0].extrapolated])
        assert len(values) >= 8
        assert values.mean(axis=0) == pytest.approx(truth, rel=0.1)
        assert all(one.bits == 10 and one.rank == 1 for some in found for one in some)

    def test_the_test_of_the_fit_always_stands_beside_it(self) -> None:
        rng = np.random.default_rng(2)
        (one,) = exposures(np.array([9.0]), rng.normal(size=REFERENCES), rng)
        assert one.fit is not None
        assert one.fit.p > 0.05
        assert (one.extrapolated is not None) == (not one.reason)

    def test_a_rejected_fit_gives_no_value(self) -> None:
        rng = np.random.default_rng(3)
        twofold = np.concatenate([rng.normal(-6, 1, 512), rng.normal(6, 1, 512)])
        (one,) = exposures(np.array([40.0]), twofold, rng)
        assert (one.bits, one.extrapolated) == (10.0, None)
        assert one.fit is not None
        assert one.fit.p <= 0.05
        assert one.reason.startswith("at least 10 bits: the references are not skew-normal")

    def test_a_canary_that_has_a_rank_needs_no_fit(self) -> None:
        rng = np.random.default_rng(4)
        before = rng.bit_generator.state
        (one,) = exposures(np.array([0.0]), np.arange(-8.0, 8.0), rng)
        assert (one.rank, one.extrapolated, one.fit, one.reason) == (9, None, None, "")
        assert rng.bit_generator.state == before

    def test_a_canary_of_rank_two_keeps_its_rank_beside_one_of_rank_one(self) -> None:
        rng = np.random.default_rng(5)
        references = rng.normal(size=REFERENCES)
        second, first = exposures(np.array([np.sort(references)[-1] - 1e-9, 8.0]), references, rng)
        assert (second.bits, second.extrapolated) == (9.0, None)
        assert first.extrapolated is not None
        assert first.extrapolated > 10

    def test_few_or_equal_references_carry_no_fit(self) -> None:
        rng = np.random.default_rng(6)
        (few,) = exposures(np.array([9.0]), rng.normal(size=16), rng)
        assert few.bits == 4
        assert few.reason == f"at least 4 bits: extrapolation needs {FEWEST_REFERENCES} references, has 16"
        (tied,) = exposures(np.array([9.0]), np.full(256, -1.0), rng)
        assert tied.bits == 8
        assert "equally likely" in tied.reason

    def test_no_canary_is_no_exposure(self) -> None:
        assert exposures(np.zeros(0), np.array([1.0]), np.random.default_rng(0)) == []


class TestDifference:
    def test_types_and_repetitions_stay_apart(self) -> None:
        rng = np.random.default_rng(7)
        never = {"email": null_bits(rng, 30), "code": null_bits(rng, 30)}
        inserted = {
            ("email", 1): null_bits(rng, 12),
            ("email", 16): np.full(12, 9.0),
            ("card", 4): np.ones(3),
        }
        found = exposure_differences(inserted, never, REFERENCES, rng, draws=199)
        assert list(found) == list(inserted)
        strong = found["email", 16]
        assert strong.bits.value == pytest.approx(9 - never["email"].mean())
        assert (strong.p, strong.inserted, strong.never, strong.capped) == (1 / 200, 12, 30, 0)
        weak = found["email", 1]
        assert weak.p is not None
        assert weak.p > 0.01
        assert found["card", 4].bits.value is None
        assert found["card", 4].bits.reason == "undefined: there is not a never-inserted canary of the type"
        assert found["card", 4].p is None

    def test_no_inserted_canary(self) -> None:
        none = exposure_differences(
            {("email", 1): np.zeros(0)}, {"email": np.ones(9)}, 16, np.random.default_rng(0)
        )
        assert none["email", 1].bits.reason == "undefined: there is not an inserted canary of the type"
        assert exposure_differences({}, {}, 16, np.random.default_rng(0)) == {}

    def test_the_p_value_is_that_of_all_assignments(self) -> None:
        inserted, never = np.array([3.0, 4.0, 1.0]), np.array([0.5, 1.0, 2.0, 1.0])
        pooled = np.concatenate([inserted, never])
        exact = np.mean(
            [pooled[list(chosen)].sum() >= inserted.sum() for chosen in combinations(range(7), 3)]
        )
        found = exposure_differences(
            {("email", 1): inserted}, {"email": never}, 16, np.random.default_rng(8), 20_000
        )
        assert found["email", 1].p == pytest.approx(exact, abs=0.01)

    def test_the_interval_is_welchs(self) -> None:
        from scipy.stats import ttest_ind

        rng = np.random.default_rng(9)
        inserted, never = 2 + null_bits(rng, 15) / 2, null_bits(rng, 40)
        found = exposure_differences({("email", 4): inserted}, {"email": never}, REFERENCES, rng, 99)
        interval = found["email", 4].bits.interval
        oracle = ttest_ind(inserted, never, equal_var=False).confidence_interval(0.95)
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high))
        assert interval.how == "Welch t over 15 + 40"

    def test_where_all_reach_the_ceiling_the_limits_still_have_width(self) -> None:
        rng = np.random.default_rng(10)
        never = null_bits(rng, 30)
        found = exposure_differences({("email", 16): np.full(8, CEILING)}, {"email": never}, REFERENCES, rng)
        one = found["email", 16]
        assert one.capped == 8
        assert one.bits.interval is not None
        assert one.bits.value == pytest.approx(10 - never.mean())
        # 8 of 8: Clopper and Pearson's lower limit is .025 ** (1 / 8) of the ceiling.
        assert one.bits.interval.low < 10 * 0.025 ** (1 / 8) - never.mean()
        assert one.bits.interval.high > 10 - never.mean()

    def test_too_few_or_equal_values_have_no_interval(self) -> None:
        rng = np.random.default_rng(11)
        few = exposure_differences({("email", 1): np.ones(5)}, {"email": null_bits(rng, 30)}, 1024, rng)
        assert few["email", 1].bits.interval is None
        assert "has 5 and 30" in few["email", 1].bits.reason
        equal = exposure_differences({("email", 1): np.full(8, 3.0)}, {"email": np.full(9, 1.0)}, 16, rng)
        assert equal["email", 1].bits.value == 2
        assert equal["email", 1].bits.reason == "no interval: neither side varies"

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 10.5])
    def test_values_that_no_rank_gives_are_refused(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="at most 10 bits"):
            exposure_differences({("email", 1): np.array([wrong])}, {}, 1024, np.random.default_rng(0))
        with pytest.raises(ValueError, match="references: at least 1"):
            exposure_differences({}, {}, 0, np.random.default_rng(0))


NULL_MEAN = float((CEILING - np.log2(np.arange(1, REFERENCES + 2))).mean())
# Inserted, never inserted; how the inserted stand out: bits added, and the share that reaches the ceiling.
PANELS = [(10, 10, 0.0, 0.0), (20, 60, 0.0, 0.0), (20, 20, 3.0, 0.0), (12, 36, 3.0, 0.0), (20, 60, 0.0, 0.4)]
CAPPED = [(6, 18, 0.0, 0.8), (10, 30, 0.0, 0.9), (20, 60, 0.0, 1.0), (20, 60, 0.0, 0.6)]


def covered(rng: np.random.Generator, repetitions: int, panel: tuple[int, int, float, float]) -> int:
    """How often the interval holds the true difference."""
    n, m, added, share = panel

    def draw(size: int) -> FloatArray:
        shifted = np.minimum(null_bits(rng, size) + rng.normal(added, 2 if added else 0, size), CEILING)
        return np.where(rng.random(size) < share, CEILING, shifted)

    base = float(draw(1_000_000).mean()) if added else share * CEILING + (1 - share) * NULL_MEAN
    count = 0
    for _ in range(repetitions):
        found = exposure_differences(
            {("email", 1): draw(n)}, {"email": null_bits(rng, m)}, REFERENCES, rng, draws=1
        )
        interval = found["email", 1].bits.interval
        assert interval is not None
        count += interval.low <= base - NULL_MEAN <= interval.high
    return count


def null_rejections(rng: np.random.Generator, repetitions: int) -> int:
    """How often p is at most .05 where the inserted canaries left no trace."""
    count = 0
    for _ in range(repetitions):
        found = exposure_differences(
            {("email", 1): null_bits(rng, 12)}, {"email": null_bits(rng, 30)}, REFERENCES, rng, draws=199
        )
        p = found["email", 1].p
        assert p is not None
        count += p <= 0.05
    return count


@pytest.mark.parametrize("panel", [*PANELS, *CAPPED])
def test_the_interval_covers(panel: tuple[int, int, float, float]) -> None:
    rng = np.random.default_rng([20260301, *(int(10 * part) for part in panel)])
    assert covered(rng, 50, panel) >= binom.ppf(0.001, 50, 0.95)


@pytest.mark.long
@pytest.mark.parametrize("panel", PANELS)
def test_the_interval_covers_in_2000_draws(panel: tuple[int, int, float, float]) -> None:
    rng = np.random.default_rng([20260302, *(int(10 * part) for part in panel)])
    count = covered(rng, LONG, panel)
    print(f"covered {count} of {LONG}")
    assert 0.93 * LONG <= count <= 0.97 * LONG


@pytest.mark.long
@pytest.mark.parametrize("panel", CAPPED)
def test_the_interval_at_the_ceiling_covers_at_least_so_often(panel: tuple[int, int, float, float]) -> None:
    rng = np.random.default_rng([20260303, *(int(10 * part) for part in panel)])
    count = covered(rng, LONG, panel)
    print(f"covered {count} of {LONG}")
    assert count >= 0.95 * LONG


def test_canaries_without_a_trace_are_rarely_called_exposed() -> None:
    assert null_rejections(np.random.default_rng(20260304), 50) <= binom.ppf(0.999, 50, 0.05)


@pytest.mark.long
def test_canaries_without_a_trace_are_rarely_called_exposed_in_2000_draws() -> None:
    count = null_rejections(np.random.default_rng(20260305), LONG)
    print(f"rejected {count} of {LONG}")
    assert count <= 131
