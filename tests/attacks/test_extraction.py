"""Extraction: ids, distances, samplers in log space, and two language models whose answer is known."""

import math
from itertools import product

import numpy as np
import pytest

from attacks import (
    edit_distance,
    extraction_probability,
    longest_run,
    normalised_distance,
    prefix_and_suffix,
    queries_needed,
    sampler_logprobs,
    suffix_logprob,
    verbatim,
)
from attacks.arrays import FloatArray, IntArray
from attacks.statistics import matched_rates


def ids(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


VOCABULARY = 30


class CopyMachine:
    """A language model that repeats the training text in which it finds what it has read."""

    def __init__(self, texts: list[IntArray]) -> None:
        self.texts = texts

    def logits(self, read: IntArray) -> FloatArray:
        found = np.zeros(VOCABULARY)
        for text in self.texts:
            if len(read) < len(text) and np.array_equal(text[: len(read)], read):
                found[text[len(read)]] = 50.0
        return found


class Unigram:
    """A language model that knows how frequent tokens are, and nothing of what it has read."""

    def __init__(self, texts: list[IntArray]) -> None:
        self.counts = np.bincount(np.concatenate(texts), minlength=VOCABULARY)

    def logits(self, read: IntArray) -> FloatArray:
        return np.asarray(np.log(self.counts + 1.0), dtype=np.float64)


def greedy(model: CopyMachine | Unigram, prefix: IntArray, length: int) -> IntArray:
    read = prefix
    for _ in range(length):
        read = np.append(read, np.argmax(model.logits(read)))
    return read[len(prefix) :]


def training_texts(rng: np.random.Generator) -> list[IntArray]:
    return [rng.integers(0, VOCABULARY, 16) for _ in range(25)]


class TestVerbatim:
    def test_a_copy_machine_gives_everything_and_a_unigram_model_nothing(self) -> None:
        texts = training_texts(np.random.default_rng(0))
        cuts = [prefix_and_suffix(text, 8, 8) for text in texts]
        suffixes = [suffix for _, suffix in cuts]
        copied, guessed = (
            verbatim(suffixes, [greedy(model, prefix, 8) for prefix, _ in cuts])
            for model in (CopyMachine(texts), Unigram(texts))
        )
        found = matched_rates(copied, guessed)
        assert (found.model.value, found.base.value, found.difference.value) == (1.0, 0.0, 1.0)
        assert (found.only_model, found.p) == (25, 0.5**25)

    def test_a_suffix_that_the_base_knows_as_well_is_no_leak(self) -> None:
        texts = training_texts(np.random.default_rng(1))
        cuts = [prefix_and_suffix(text, 8, 8) for text in texts]
        out = verbatim([suffix for _, suffix in cuts], [greedy(CopyMachine(texts), p, 8) for p, _ in cuts])
        assert matched_rates(out, out).difference.value == 0

    def test_the_whole_suffix_counts_and_nothing_behind_it(self) -> None:
        suffixes = [ids(1, 2, 3)] * 4
        outputs = [ids(1, 2, 3), ids(1, 2, 3, 9), ids(1, 2), ids(1, 2, 4)]
        assert verbatim(suffixes, outputs).tolist() == [True, True, False, False]

    def test_nothing_to_compare(self) -> None:
        assert verbatim([], []).tolist() == []
        with pytest.raises(ValueError, match="outputs: 1 for 0"):
            verbatim([], [ids(1)])
        with pytest.raises(ValueError, match="empty"):
            verbatim([ids()], [ids(1)])

    def test_a_record_is_cut_where_prefix_and_suffix_meet(self) -> None:
        prefix, suffix = prefix_and_suffix(ids(*range(10)), 3, 2)
        assert (prefix.tolist(), suffix.tolist()) == ([0, 1, 2], [3, 4])
        with pytest.raises(ValueError, match="the record has 10"):
            prefix_and_suffix(ids(*range(10)), 8, 3)
        with pytest.raises(ValueError, match="at least 1 token"):
            prefix_and_suffix(ids(*range(10)), 8, 0)


def slow_distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    if not first or not second:
        return len(first) + len(second)
    return min(
        slow_distance(first[1:], second) + 1,
        slow_distance(first, second[1:]) + 1,
        slow_distance(first[1:], second[1:]) + (first[0] != second[0]),
    )


class TestApproximate:
    def test_the_known_distances(self) -> None:
        words = [ids(*(ord(letter) for letter in word)) for word in ("kitten", "sitting")]
        assert edit_distance(*words) == 3
        assert normalised_distance(*words) == 3 / 7
        assert longest_run(*words) == 3  # "itt"

    def test_it_is_the_recursive_definition(self) -> None:
        rng = np.random.default_rng(2)
        for _ in range(60):
            first, second = (rng.integers(0, 3, rng.integers(0, 6)) for _ in range(2))
            assert edit_distance(first, second) == slow_distance(tuple(first), tuple(second))

    def test_the_longest_run_is_found_wherever_it_stands(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(60):
            first, second = (rng.integers(0, 3, rng.integers(0, 9)) for _ in range(2))
            runs = {tuple(text[a:b]) for text in [first] for a in range(len(first)) for b in range(a + 1, 10)}
            others = {tuple(second[a:b]) for a in range(len(second)) for b in range(a + 1, 10)}
            assert longest_run(first, second) == max((len(run) for run in runs & others), default=0)

    def test_empty_and_unlike_texts(self) -> None:
        assert normalised_distance(ids(), ids()) == 0
        assert normalised_distance(ids(1, 2), ids()) == 1
        assert normalised_distance(ids(1, 2), ids(3, 4)) == 1
        assert normalised_distance(ids(1, 2), ids(1, 2)) == 0
        assert longest_run(ids(), ids(1)) == longest_run(ids(1), ids()) == 0


def slow_sampler(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> list[float]:
    """Probabilities of one row, token by token."""
    weights = {token: math.exp(value / temperature) for token, value in enumerate(logits)}
    if top_k is not None:
        last = sorted(weights.values(), reverse=True)[min(top_k, len(weights)) - 1]
        weights = {token: weight for token, weight in weights.items() if weight >= last}
    if top_p is not None:
        total, mass, kept = sum(weights.values()), 0.0, {}
        for token, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
            if mass / total >= top_p - 1e-12:
                break
            kept[token], mass = weight, mass + weight
        weights = kept
    return [weights.get(token, 0.0) / sum(weights.values()) for token in range(len(logits))]


class TestSampler:
    @pytest.mark.parametrize(
        ("temperature", "top_k", "top_p"),
        list(product((0.3, 1.0, 2.5), (None, 1, 4, 50), (None, 0.05, 0.7, 1.0))),
    )
    def test_it_is_the_sampler_token_by_token(
        self, temperature: float, top_k: int | None, top_p: float | None
    ) -> None:
        rng = np.random.default_rng(4)
        logits = np.round(rng.normal(0, 2, (3, 4, 12)), 1)  # rounded, so that ties occur
        logits[0, 0, :5] = logits[0, 0].max()
        found = sampler_logprobs(logits, temperature, top_k, top_p)
        for place in np.ndindex(3, 4):
            slow = slow_sampler(logits[place].tolist(), temperature, top_k, top_p)
            assert np.exp(found[place]) == pytest.approx(slow, abs=1e-12)

    def test_a_token_outside_is_never_drawn(self) -> None:
        found = sampler_logprobs(np.log([0.5, 0.3, 0.2]), top_k=2)
        assert found == pytest.approx([math.log(5 / 8), math.log(3 / 8), -math.inf])
        assert sampler_logprobs(np.log([0.5, 0.3, 0.2]), top_p=0.5).tolist() == [0.0, -math.inf, -math.inf]

    def test_a_vanishing_temperature_is_greedy_decoding(self) -> None:
        logits = np.random.default_rng(5).normal(size=(6, 9))
        cold, greedily = sampler_logprobs(logits, 1e-9), sampler_logprobs(logits, 0)
        assert np.exp(cold).tolist() == np.exp(greedily).tolist()
        assert np.argmax(greedily, axis=-1).tolist() == np.argmax(logits, axis=-1).tolist()
        assert sampler_logprobs(np.array([1.0, 3.0, 3.0]), 0).tolist() == [-math.inf, 0.0, -math.inf]

    def test_a_shift_of_the_logits_changes_nothing(self) -> None:
        logits = np.random.default_rng(6).normal(size=9)
        assert sampler_logprobs(logits + 1e4, 0.7, 5, 0.9) == pytest.approx(
            sampler_logprobs(logits, 0.7, 5, 0.9)
        )

    def test_a_forbidden_token_stays_forbidden(self) -> None:
        assert sampler_logprobs(np.array([-np.inf, 0.0, 0.0]), top_k=3) == pytest.approx(
            [-math.inf, -math.log(2), -math.log(2)]
        )

    def test_wrong_parameters_are_refused(self) -> None:
        logits = np.zeros(3)
        for name, value in (("temperature", -1.0), ("top_k", 0), ("top_p", 0.0), ("top_p", 1.1)):
            with pytest.raises(ValueError, match=name):
                sampler_logprobs(logits, **{name: value})  # type: ignore[arg-type]
        for wrong in (np.nan, np.inf):
            with pytest.raises(ValueError, match="logits"):
                sampler_logprobs(np.array([0.0, wrong]))
        with pytest.raises(ValueError, match="logits"):
            sampler_logprobs(np.full(3, -np.inf))


class TestProbabilistic:
    def test_the_known_answers(self) -> None:
        assert extraction_probability(np.log([0.8]), 2) == pytest.approx([0.96])
        assert queries_needed(np.log([0.01]), 0.5).tolist() == [69]

    def test_item_14_a_tiny_probability_is_not_rounded_to_never(self) -> None:
        # 1 - (1 - p) ** n is 0 in floating point here.
        assert extraction_probability(np.array([math.log(1e-18)]), 1e12)[0] == pytest.approx(
            9.999995e-07, rel=1e-9
        )
        # A long suffix whose probability underflows: P(n) = n p to first order.
        found = extraction_probability(np.array([-800.0]), 1e300)
        assert found == pytest.approx([math.exp(-800 + 300 * math.log(10))])
        assert found[0] > 0

    def test_certain_and_impossible_suffixes(self) -> None:
        logprob = np.array([0.0, -math.inf])
        assert extraction_probability(logprob, 1).tolist() == [1.0, 0.0]
        assert extraction_probability(logprob, 1e6).tolist() == [1.0, 0.0]
        assert queries_needed(logprob, 0.9).tolist() == [1.0, math.inf]

    def test_one_query_is_the_probability_itself(self) -> None:
        logprob = np.array([-1e-6, -0.1, -3.0, -39.9, -40.1, -200.0])
        assert extraction_probability(logprob, 1) == pytest.approx(np.exp(logprob), rel=1e-12)

    @pytest.mark.parametrize("p", [0.1, 0.5, 0.75, 0.9])
    def test_whole_numbers_are_not_rounded_up(self, p: float) -> None:
        counts = [n for n in range(1, 40) if (1 - p) ** n > 1e-4]
        found = [queries_needed(np.log([p]), 1 - (1 - p) ** n)[0] for n in counts]
        assert found == counts

    def test_queries_and_probability_agree(self) -> None:
        rng = np.random.default_rng(7)
        logprob = -rng.exponential(8, 200)
        needed = queries_needed(logprob, 0.5)
        for value, n in zip(logprob, needed, strict=True):
            assert extraction_probability(np.array([value]), n)[0] >= 0.5 - 1e-9
            if n > 1:
                assert extraction_probability(np.array([value]), n - 1)[0] < 0.5

    def test_the_rate_of_drawn_suffixes(self) -> None:
        # Draw the suffix itself from the sampler, and count.
        rng = np.random.default_rng(8)
        logits = rng.normal(size=(3, 5))
        logq = sampler_logprobs(logits, 0.8, 3)
        tokens = np.array([0, *np.argmax(logits[:2], axis=-1)])
        logprob = suffix_logprob(logq, tokens, 2)
        draws = np.stack([rng.choice(5, 20_000, p=np.exp(row)) for row in logq[:2]], axis=1)
        hits = (draws == tokens[1:]).all(axis=1)
        assert hits.mean() == pytest.approx(math.exp(logprob), abs=4 * math.sqrt(0.25 / 20_000))
        at_least_once = hits.reshape(-1, 4).any(axis=1).mean()
        assert at_least_once == pytest.approx(
            extraction_probability(np.array([logprob]), 4)[0], abs=4 * math.sqrt(0.25 / 5000)
        )

    def test_item_15_the_last_token_counts_and_the_prefix_does_not(self) -> None:
        # Row t is about token t + 1. The first row is about the prefix here, the last about nothing.
        logq = np.full((4, 3), -9.0)
        tokens = ids(2, 0, 1, 2)
        logq[0, 0], logq[1, 1], logq[2, 2], logq[3, 2] = -100.0, -1.0, -0.5, -1000.0
        assert suffix_logprob(logq, tokens, 2) == -1.5
        assert suffix_logprob(logq, tokens, 1) == -0.5
        assert suffix_logprob(logq, tokens, 3) == -101.5

    def test_a_copy_machine_needs_one_query_and_a_token_outside_none_that_helps(self) -> None:
        texts = training_texts(np.random.default_rng(9))
        machine = CopyMachine(texts)
        logits = np.stack([machine.logits(texts[0][: place + 1]) for place in range(16)])
        logprob = suffix_logprob(sampler_logprobs(logits, top_k=1), texts[0], 8)
        assert logprob == 0.0
        assert queries_needed(np.array([logprob]), 0.99).tolist() == [1]
        altered = texts[0].copy()
        altered[-1] = (altered[-1] + 1) % VOCABULARY
        assert suffix_logprob(sampler_logprobs(logits, top_k=1), altered, 8) == -math.inf

    def test_no_suffix_gives_no_figure(self) -> None:
        assert extraction_probability(np.zeros(0), 5).tolist() == []
        assert queries_needed(np.zeros(0), 0.5).tolist() == []

    def test_wrong_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match="queries"):
            extraction_probability(np.array([-1.0]), 0)
        for wrong in (0.1, np.nan):
            with pytest.raises(ValueError, match="logprob"):
                extraction_probability(np.array([wrong]), 1)
        for probability in (0.0, 1.0):
            with pytest.raises(ValueError, match="probability"):
                queries_needed(np.array([-1.0]), probability)
        with pytest.raises(ValueError, match="suffix"):
            suffix_logprob(np.zeros((3, 2)), ids(0, 1, 1), 3)
        with pytest.raises(ValueError, match="logq"):
            suffix_logprob(np.zeros((3, 2)), ids(0, 1), 1)
