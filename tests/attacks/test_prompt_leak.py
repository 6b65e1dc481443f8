"""Prompt leakage: overlaps with known answers, what copies and what cannot, and calibration of the test."""

from functools import cache

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from attacks import LeakRule, longest_subsequence, prompt_leakage, prompt_overlap
from attacks.arrays import BoolArray, IntArray
from attacks.statistics import clopper_pearson

PEOPLE, RECORDS, VOCABULARY = 8, 6, 40


def ids(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def flags(*values: int) -> BoolArray:
    return np.array(values, dtype=np.bool_)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestSubsequence:
    def test_known_lengths(self) -> None:
        words = [ids(*map(ord, word)) for word in ("AGGTAB", "GXTXAYB")]
        assert longest_subsequence(*words) == 4
        assert longest_subsequence(ids(1, 2, 3), ids(3, 2, 1)) == 1
        assert longest_subsequence(ids(1, 1, 1), ids(1, 1)) == 2
        assert longest_subsequence(ids(), ids(1)) == longest_subsequence(ids(1), ids()) == 0

    def test_the_definition_gives_the_same(self) -> None:
        @cache
        def slow(first: tuple[int, ...], second: tuple[int, ...]) -> int:
            if not first or not second:
                return 0
            if first[0] == second[0]:
                return 1 + slow(first[1:], second[1:])
            return max(slow(first[1:], second), slow(first, second[1:]))

        draw = np.random.default_rng(3)
        for _ in range(100):
            first, second = (draw.integers(0, 4, draw.integers(0, 9)) for _ in range(2))
            assert longest_subsequence(first, second) == slow(tuple(first), tuple(second))

    def test_the_recall_is_that_of_rouge_l(self) -> None:
        scorer, draw = RougeScorer(["rougeL"]), np.random.default_rng(4)
        for _ in range(50):
            output, part = draw.integers(0, 9, draw.integers(1, 20)), draw.integers(0, 9, 12)
            texts = [" ".join(f"w{token}" for token in side) for side in (part, output)]
            expected = scorer.score(*texts)["rougeL"].recall
            assert prompt_overlap(output, [part]).recall == pytest.approx(expected)


class TestOverlap:
    RULE = LeakRule(run=4, recall=0.75, shortest=2)

    def overlap(self, output: IntArray, *parts: IntArray) -> tuple[int, float, bool]:
        found = prompt_overlap(output, parts, self.RULE)
        return found.run, found.recall, found.leaked

    def test_either_threshold_is_enough_once_it_is_reached(self) -> None:
        part = ids(*range(10))
        assert self.overlap(ids(3, 4, 5), part) == (3, 0.3, False)
        assert self.overlap(ids(90, 3, 4, 5, 6), part) == (4, 0.4, True)
        scattered = (0, 1, 90, 2, 3, 91, 4, 5, 92, 6)
        assert self.overlap(ids(*scattered), part) == (2, 0.7, False)
        assert self.overlap(ids(*scattered, 93, 7), part) == (2, 0.8, True)

    def test_the_part_that_comes_out_most_decides(self) -> None:
        assert self.overlap(ids(7, 8), ids(1, 2, 3, 4, 5), ids(7, 8)) == (2, 1.0, True)

    def test_an_empty_answer_holds_nothing(self) -> None:
        assert self.overlap(ids(), ids(1, 2)) == (0, 0.0, False)

    @pytest.mark.parametrize("parts", [[], [ids(1)], [ids(1, 2, 3), ids(1)]])
    def test_what_is_too_short_to_tell_is_refused(self, parts: list[IntArray]) -> None:
        with pytest.raises(ValueError, match="of 2 tokens or more"):
            prompt_overlap(ids(1, 2, 3), parts, self.RULE)


class TestRates:
    def test_a_copy_machine_gives_everything_away_and_a_model_without_the_context_nothing(self) -> None:
        draw = np.random.default_rng(1)
        shown, kept = (draw.integers(0, 10_000, (PEOPLE, RECORDS, 12)) for _ in range(2))
        copied = [np.concatenate(list(records)) for records in shown]
        ignorant = draw.integers(0, 10_000, (PEOPLE, RECORDS * 12))
        found = prompt_leakage(*came_out(copied, shown, kept), rng())
        assert (found.leak.value, found.control.value, found.difference.value) == (1.0, 0.0, 1.0)
        assert found.p == 0.5**PEOPLE
        assert found.leak.interval == clopper_pearson(PEOPLE, PEOPLE)
        none = prompt_leakage(*came_out(list(ignorant), shown, kept), rng())
        assert (none.leak.value, none.control.value, none.p) == (0.0, 0.0, 1.0)

    def test_every_person_counts_alike(self) -> None:
        found = prompt_leakage([flags(1), flags(0, 0, 0)], [flags(0, 0), flags(1, 0)], rng())
        assert (found.leak.value, found.control.value, found.difference.value) == (0.5, 0.25, 0.25)
        # Of the four signs of (1, -1/2), two give a sum of 1/2 or more.
        assert found.p == 0.5
        assert found.leak.interval == clopper_pearson(1.0, 2)
        assert found.control.interval == clopper_pearson(0.5, 2)

    def test_without_people_there_is_no_rate(self) -> None:
        found = prompt_leakage([], [], rng())
        assert (found.leak.value, found.difference.value, found.p) == (None, None, None)
        assert found.leak.reason == "undefined: there are no persons with records in the prompt"

    def test_people_without_a_match_are_refused(self) -> None:
        with pytest.raises(ValueError, match="1 persons for 2"):
            prompt_leakage([flags(1), flags(1)], [flags(1)], rng())
        with pytest.raises(ValueError, match="no record on one side"):
            prompt_leakage([flags(1)], [flags()], rng())


def came_out(
    outputs: list[IntArray], shown: np.ndarray, kept: np.ndarray
) -> tuple[list[BoolArray], list[BoolArray]]:
    """Which records of either side each person's answer holds."""
    inside, outside = (
        [
            np.array([prompt_overlap(output, [record]).leaked for record in records], dtype=np.bool_)
            for output, records in zip(outputs, side, strict=True)
        ]
        for side in (shown, kept)
    )
    return inside, outside


def false_alarms(draws: int, seed: int) -> tuple[int, float]:
    """How often p is at most .05 where answers repeat a person's phrases and not the prompt."""
    draw = np.random.default_rng(seed)
    alarms, differences = 0, []
    for _ in range(draws):
        # A person's records share phrases, and answers are made of them: people differ, sides do not.
        habits = draw.integers(0, VOCABULARY, (PEOPLE, 9))
        inside, outside = [], []
        for habit in habits:
            records = draw.integers(0, VOCABULARY, (2 * RECORDS, 14))
            has = draw.random(2 * RECORDS) < draw.random()
            records[has, 2:11] = habit
            output = np.concatenate([draw.integers(0, VOCABULARY, 6), habit])
            leaked = np.array([prompt_overlap(output, [record]).leaked for record in records])
            order = draw.permutation(2 * RECORDS)
            inside.append(leaked[order[:RECORDS]])
            outside.append(leaked[order[RECORDS:]])
        found = prompt_leakage(inside, outside, draw)
        alarms += found.p is not None and found.p <= 0.05
        differences.append(found.difference.value or 0.0)
    return alarms, float(np.mean(differences))


def test_where_the_context_does_not_matter_control_equals_leak() -> None:
    alarms, difference = false_alarms(200, seed=5)
    # 5 % and three standard errors.
    assert alarms <= 200 * 0.096
    assert abs(difference) < 0.02


@pytest.mark.long
def test_false_alarms_in_many_draws() -> None:
    alarms, difference = false_alarms(2000, seed=6)
    # Shares of few records tie often, which keeps the test below its level.
    assert 2000 * 0.01 <= alarms <= 2000 * 0.065
    assert abs(difference) < 0.006
