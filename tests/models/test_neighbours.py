"""Altered copies of a record: one word is another one, decided by the seed."""

import numpy as np
import pytest

from prime_audit.models import Example, LanguageModel, altered_copies, score_neighbours, score_tokens

EXAMPLES = [
    Example("Short:", " Yes"),
    Example("a longer Prompt than the others, to be padded against:", " No, Never"),
    Example("", "only a Completion"),
    Example("empty completion:", ""),
    Example("one token:", "!"),
]
WORDS = ("alpha", "beta", "gamma")


class TestAlteredCopies:
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


def test_scores_come_record_by_record(lm: LanguageModel) -> None:
    found = score_neighbours(lm, EXAMPLES, 3, 1, WORDS)
    copies = altered_copies(EXAMPLES, 3, 1, WORDS)
    assert len(found) == 15
    np.testing.assert_allclose(found.logp, score_tokens(lm, copies).logp, atol=1e-5)
    for place, copy in enumerate(copies):
        np.testing.assert_allclose(found.logp[found.record(place)], score_tokens(lm, [copy]).logp, atol=1e-5)
