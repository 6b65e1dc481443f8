"""Personal data: extraction, reconstruction and inference beside the base's own rate."""

import numpy as np
import pytest
from scipy.stats import binom

from attacks import Candidates, Find, inference, personal_extraction, reconstruction
from attacks.arrays import FloatArray
from attacks.statistics import clopper_pearson

LONG = 2000


def finds(*values: str, kind: str = "email") -> list[Find]:
    return [Find(kind, 0, 1, value) for value in values]


def secrets(*values: str) -> list[tuple[str, str]]:
    return [("email", value) for value in values]


def candidates(*scores: float, truth: int | None = 0) -> Candidates:
    return Candidates(np.array(scores), truth)


class TestExtraction:
    def test_precision_and_recall_are_counts_of_distinct_values(self) -> None:
        found = personal_extraction(
            finds("a", "a", "a", "b", "x"), finds("b", "y", "z", "w"), secrets("a", "b", "c", "d")
        )
        table = found.recall
        assert (table.both, table.only_model, table.only_base, table.neither) == (1, 1, 0, 2)
        assert (table.model.value, table.base.value, table.difference.value) == (0.5, 0.25, 0.25)
        assert table.model.interval == clopper_pearson(2, 4)
        assert found.precision.value == pytest.approx(2 / 3)
        assert found.precision.interval == clopper_pearson(2, 3)
        assert found.base_precision.value == 0.25

    def test_a_value_of_another_type_is_not_the_secret(self) -> None:
        found = personal_extraction(finds("a", kind="code"), [], secrets("a"))
        assert (found.recall.model.value, found.precision.value) == (0.0, 0.0)

    def test_without_finds_there_is_no_precision_and_without_secrets_no_recall(self) -> None:
        found = personal_extraction([], [], secrets("a"))
        assert found.recall.model.value == 0
        assert (found.precision.value, found.precision.reason) == (None, "undefined: there are no finds")
        none = personal_extraction(finds("a"), [], [])
        assert none.recall.model.reason == none.recall.difference.reason == "undefined: there are no secrets"
        assert none.precision.value == 0

    def test_item_16_secrets_that_the_base_gives_out_as_well_stay_in_the_table(self) -> None:
        found = personal_extraction(finds("a", "b"), finds("a", "b"), secrets("a", "b", "c"))
        assert (found.recall.both, found.recall.neither) == (2, 1)
        assert found.recall.model.value == pytest.approx(2 / 3)
        assert found.recall.difference.value == 0


class TestCandidates:
    def test_rank_and_success(self) -> None:
        assert (candidates(3, 2, 1).rank, candidates(3, 2, 1).success) == (1, 1.0)
        assert (candidates(3, 2, 1, truth=2).rank, candidates(3, 2, 1, truth=2).success) == (3, 0.0)

    def test_ties_share_the_success_and_come_before_the_secret(self) -> None:
        tied = candidates(2, 2, 2, 1)
        assert (tied.rank, tied.success) == (3, 1 / 3)

    def test_wrong_candidates_are_refused(self) -> None:
        with pytest.raises(ValueError, match="finite"):
            candidates(1, np.nan)
        for truth in (-1, 2):
            with pytest.raises(ValueError, match="the secret is number"):
                candidates(1, 2, truth=truth)


class TestReconstruction:
    def test_a_secret_that_was_not_generated_is_a_miss_that_counts(self) -> None:
        model = [candidates(3, 1), candidates(1, 3), candidates(1, 2, 3, truth=None), candidates(truth=None)]
        base = [candidates(1, 3), candidates(1, 3, 4), candidates(5), candidates(truth=None)]
        found = reconstruction(model, base)
        assert found.ranks == (1, 2, None, None)
        assert found.base_ranks == (2, 3, 1, None)
        assert (found.top.only_model, found.top.only_base, found.top.neither) == (1, 1, 2)
        assert found.top.model.value == 0.25

    def test_item_16_the_base_may_be_right_on_all_or_on_none(self) -> None:
        right, wrong = [candidates(2, 1)] * 5, [candidates(1, 2)] * 5
        assert reconstruction(right, right).top.difference.value == 0
        assert reconstruction(wrong, wrong).top.difference.value == 0
        assert reconstruction(wrong, right).top.difference.value == -1
        assert reconstruction(right, wrong).top.difference.value == 1

    def test_item_16_samples_of_the_same_score_are_all_counted(self) -> None:
        found = reconstruction([candidates(-1.5, -2.5)] * 7, [candidates(-2.5, -1.5)] * 7)
        assert found.top.only_model == 7

    def test_no_sample_is_undefined(self) -> None:
        found = reconstruction([], [])
        assert found.top.difference.reason == "undefined: there are no samples"
        with pytest.raises(ValueError, match="cannot be matched"):
            reconstruction([candidates(1)], [])


class TestInference:
    @pytest.mark.parametrize("size", [2, 10, 50, 100])
    def test_identical_candidates_give_exactly_chance(self, size: int) -> None:
        same = [Candidates(np.full(size, -3.0), place % size) for place in range(size)]
        found = inference(same, same)
        assert found.chance == 1 / size
        assert found.accuracy.model.value == pytest.approx(1 / size, rel=1e-12)
        assert found.accuracy.difference.value == 0
        assert found.p_chance is not None
        assert found.p_chance > 0.5

    def test_against_chance_and_against_the_base(self) -> None:
        model = [candidates(3, 1, 1, 1)] * 8 + [candidates(1, 2, 0, 0)] * 2
        base = [candidates(1, 2, 0, 0)] * 9 + [candidates(3, 1, 1, 1)]
        found = inference(model, base)
        assert (found.accuracy.only_model, found.accuracy.only_base) == (8, 1)
        assert (found.accuracy.both, found.accuracy.neither) == (0, 1)
        assert (found.accuracy.model.value, found.chance) == (0.8, 0.25)
        assert found.p_chance == pytest.approx(binom.sf(7, 10, 0.25))
        assert found.accuracy.p == pytest.approx(binom.sf(7, 9, 0.5))

    def test_no_sample_is_undefined(self) -> None:
        found = inference([], [])
        assert (found.chance, found.p_chance, found.accuracy.model.value) == (None, None, None)

    def test_samples_that_do_not_belong_together_are_refused(self) -> None:
        with pytest.raises(ValueError, match="equally many"):
            inference([candidates(1, 2)], [candidates(1, 2, 3)])
        with pytest.raises(ValueError, match="2 or more"):
            inference([candidates(1)], [candidates(1)])
        with pytest.raises(ValueError, match="same one"):
            inference([candidates(1, 2)], [candidates(1, 2, truth=1)])
        with pytest.raises(ValueError, match="same one"):
            inference([candidates(1, 2, truth=None)], [candidates(1, 2, truth=None)])


def guesses(rng: np.random.Generator, decimals: int) -> list[Candidates]:
    """40 secrets among 10 candidates whose scores say nothing; rounded, so that many tie."""
    scores: FloatArray = np.round(rng.normal(size=(40, 10)), decimals)
    return [Candidates(row, int(rng.integers(10))) for row in scores]


def alarms(rng: np.random.Generator, repetitions: int, decimals: int) -> tuple[int, int]:
    """How often p against chance is at most .05, and how often the interval holds chance, without a leak."""
    below, held = 0, 0
    for _ in range(repetitions):
        model = guesses(rng, decimals)
        found = inference(model, model)
        interval = found.accuracy.model.interval
        assert found.p_chance is not None
        assert interval is not None
        below += found.p_chance <= 0.05
        held += interval.low <= 0.1 <= interval.high
    return below, held


@pytest.mark.parametrize("decimals", [0, 9])
def test_guessing_is_rarely_called_inference(decimals: int) -> None:
    below, held = alarms(np.random.default_rng([20260313, decimals]), 50, decimals)
    assert below <= binom.ppf(0.999, 50, 0.05)
    assert held >= binom.ppf(0.001, 50, 0.95)


@pytest.mark.long
@pytest.mark.parametrize("decimals", [0, 9])
def test_guessing_is_rarely_called_inference_in_2000_draws(decimals: int) -> None:
    below, held = alarms(np.random.default_rng([20260314, decimals]), LONG, decimals)
    print(f"rejected {below}, covered {held} of {LONG}")
    assert below <= 131
    # Exact limits cover more often than they say, never less.
    assert held >= 0.93 * LONG
