"""Records in lower case, twice in a row, after others, altered: the record's own tokens, in another light."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from attacks import TokenScores
from prime_audit.data import TASKS
from prime_audit.errors import ModelError
from prime_audit.models import (
    Example,
    LanguageModel,
    altered_copies,
    generation_overlap,
    score_lowercase,
    score_neighbours,
    score_prefixed,
    score_repeated,
    score_tokens,
)
from prime_audit.models import scoring as scoring_module

Make = Callable[..., LanguageModel]
EXAMPLES = [
    Example("Short:", " Yes"),
    Example("a longer Prompt than the others, to be padded against:", " No, Never"),
    Example("", "only a Completion"),
    Example("empty completion:", ""),
    Example("one token:", "!"),
]
SHOTS = [Example("what:", " this"), Example("and:", " that")]
WORDS = ("alpha", "beta", "gamma")


def assert_same_tokens(found: TokenScores, plain: TokenScores) -> None:
    np.testing.assert_array_equal(found.offsets, plain.offsets)
    np.testing.assert_array_equal(found.token, plain.token)
    np.testing.assert_array_equal(found.compressed_bytes, plain.compressed_bytes)


def context_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose next-token distribution is one and the same everywhere."""

    def constant(lm: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, **more: object) -> torch.Tensor:
        state = torch.linspace(-1, 1, lm.model.config.hidden_size)
        return state.expand(*ids.shape, -1)

    monkeypatch.setattr(scoring_module, "states_of", constant)


@pytest.mark.parametrize("loss", ["answer", "full"])
class TestContexts:
    def test_a_repeated_record_keeps_its_tokens_and_sees_its_first_copy(
        self, lm: LanguageModel, loss: str
    ) -> None:
        plain, found = score_tokens(lm, EXAMPLES, loss=loss), score_repeated(lm, EXAMPLES, loss=loss)
        assert_same_tokens(found, plain)
        assert not np.allclose(found.logp, plain.logp, atol=1e-3)
        twice = [Example(f"{one.prompt}{one.completion}\n\n{one.prompt}", one.completion) for one in EXAMPLES]
        expected = score_tokens(lm, twice, loss="answer")
        if loss == "answer":
            np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    def test_a_prefixed_record_keeps_its_tokens_and_sees_the_shots(
        self, lm: LanguageModel, loss: str
    ) -> None:
        plain = score_tokens(lm, EXAMPLES, loss=loss)
        found = score_prefixed(lm, EXAMPLES, SHOTS, loss=loss)
        assert_same_tokens(found, plain)
        assert not np.allclose(found.logp, plain.logp, atol=1e-3)
        before = "what: this\n\nand: that\n\n"
        expected = score_tokens(
            lm, [Example(before + one.prompt, one.completion) for one in EXAMPLES], loss="answer"
        )
        if loss == "answer":
            np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    def test_a_model_without_context_sees_no_difference(
        self, lm: LanguageModel, loss: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context_free(monkeypatch)
        plain = score_tokens(lm, EXAMPLES, loss=loss)
        for found in (
            score_repeated(lm, EXAMPLES, loss=loss),
            score_prefixed(lm, EXAMPLES, SHOTS, loss=loss),
        ):
            np.testing.assert_allclose(found.logp, plain.logp, atol=1e-6)

    def test_the_batch_does_not_matter(self, lm: LanguageModel, loss: str) -> None:
        for variant in (
            lambda some: score_lowercase(lm, some, loss=loss),
            lambda some: score_repeated(lm, some, loss=loss),
            lambda some: score_prefixed(lm, some, SHOTS, loss=loss),
        ):
            whole = variant(EXAMPLES)
            alone = [variant([one]).logp for one in EXAMPLES]
            np.testing.assert_allclose(whole.logp, np.concatenate(alone), atol=1e-5)


class TestRoom:
    def test_of_a_first_copy_that_does_not_fit_the_beginning_goes(self, make_lm: Make) -> None:
        long = Example("p" * 30, " answer")
        whole = make_lm(0, 128)
        narrow = replace(whole, max_tokens=60)
        found = score_repeated(narrow, [long])
        assert_same_tokens(found, score_tokens(narrow, [long]))
        # 39 tokens are the record; 21 before it are the end of the first copy.
        context = ("p" * 30 + " answer\n\n")[-21:]
        expected = score_tokens(whole, [Example(context + long.prompt, long.completion)])
        np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    def test_as_many_whole_shots_as_fit_are_kept(self, make_lm: Make) -> None:
        lm = make_lm(0, 30)
        one = Example("x:", " y")
        shots = [Example("a:", " b"), Example("c:", " d"), Example("eeeeeeeeee:", " ffffffffff")]
        expected = score_prefixed(lm, [one], shots[:2])
        np.testing.assert_array_equal(score_prefixed(lm, [one], shots).logp, expected.logp)

    def test_no_room_for_any_shot_is_refused(self, make_lm: Make) -> None:
        lm = make_lm(0, 12)
        with pytest.raises(ModelError, match=r"a record of 9 tokens leaves no room .* within 12"):
            score_prefixed(lm, [Example("abcde:", "!")], [Example("long shot", " indeed")])
        with pytest.raises(ValueError, match="shots: there is no record"):
            score_prefixed(lm, EXAMPLES, [])


def test_lower_case_is_another_text(lm: LanguageModel) -> None:
    found = score_lowercase(lm, EXAMPLES)
    lower = [Example(one.prompt.lower(), one.completion.lower()) for one in EXAMPLES]
    np.testing.assert_array_equal(found.logp, score_tokens(lm, lower).logp)
    same = [Example("no capitals:", " here")]
    np.testing.assert_array_equal(score_lowercase(lm, same).logp, score_tokens(lm, same).logp)


class TestNeighbours:
    def test_one_word_of_the_answer_is_another(self) -> None:
        for copy in altered_copies([Example("keep this", " one two three")], 20, 3, WORDS):
            assert copy.prompt == "keep this"
            before, after = " one two three".split(" "), copy.completion.split(" ")
            changed = [new for old, new in zip(before, after, strict=True) if old != new]
            assert len(changed) == 1
            assert changed[0] in WORDS

    def test_under_full_the_prompt_may_change_too(self) -> None:
        copies = altered_copies([Example("one two ", "three four")], 60, 3, WORDS, "full")
        prompts = {copy.prompt for copy in copies}
        answers = {copy.completion for copy in copies}
        assert "one two " in prompts
        assert any(word in prompt for prompt in prompts for word in WORDS)
        assert any(word in answer for answer in answers for word in WORDS)
        assert all(prompt.endswith(" ") for prompt in prompts)

    def test_copies_are_those_of_the_seed_and_the_place(self) -> None:
        first = altered_copies(EXAMPLES, 4, 1, WORDS)
        assert first == altered_copies(EXAMPLES, 4, 1, WORDS)
        assert first != altered_copies(EXAMPLES, 4, 2, WORDS)
        assert first[:8] == altered_copies(EXAMPLES[:2], 4, 1, WORDS)

    def test_a_word_is_never_exchanged_for_itself(self) -> None:
        copies = altered_copies([Example("", "alpha")], 30, 1, WORDS)
        assert {copy.completion for copy in copies} == {"beta", "gamma"}

    def test_a_record_without_words_stays(self) -> None:
        assert altered_copies([Example("x", "")], 2, 1, WORDS) == [Example("x", "")] * 2

    def test_one_word_is_too_few(self) -> None:
        with pytest.raises(ValueError, match="at least two different"):
            altered_copies(EXAMPLES, 1, 1, ["same", "same"])

    def test_scores_come_record_by_record(self, lm: LanguageModel) -> None:
        found = score_neighbours(lm, EXAMPLES, 3, 1, WORDS)
        copies = altered_copies(EXAMPLES, 3, 1, WORDS)
        assert len(found) == 15
        np.testing.assert_allclose(found.logp, score_tokens(lm, copies).logp, atol=1e-5)


class TestOverlap:
    def test_equal_seeds_give_equal_draws_and_the_answer_decides(self, lm: LanguageModel) -> None:
        task = replace(TASKS["lamp-4"], max_new_tokens=4)
        some = [Example("say:", " yes"), Example("tell:", " no")]
        first = generation_overlap(lm, task, some, 3, 1)
        np.testing.assert_array_equal(first, generation_overlap(lm, task, some, 3, 1))
        assert first.shape == (2,)
        assert ((first >= 0) & (first <= 1)).all()

    def test_a_label_is_right_as_often_as_it_is_likely(self, lm: LanguageModel) -> None:
        from scipy.special import softmax

        from prime_audit.models import score_labels

        task = replace(TASKS["lamp-2"], labels=("x", "y"))
        prompts = ["a", "b", "c"]
        likely = softmax(score_labels(lm, prompts, task.labels), axis=1)[:, 0]
        found = generation_overlap(lm, task, [Example(prompt, " x") for prompt in prompts], 4000, 2)
        # Of two labels the likeliest 95 % may be one alone.
        expected = np.where(likely > 0.95, 1.0, np.where(likely < 0.05, 0.0, likely))
        np.testing.assert_allclose(found, expected, atol=0.03)
