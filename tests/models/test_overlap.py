"""How much of an answer is generated: known overlaps, common random numbers, shares of labels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from prime_audit.data import TASKS
from prime_audit.models import Draws, Example, LanguageModel, generate, generation_overlap, score_labels
from prime_audit.models import overlap as overlap_module
from prime_audit.models.overlap import TEMPERATURE, TOP_P

TEXT = replace(TASKS["lamp-4"], max_new_tokens=4)


class TestText:
    def test_the_mean_of_known_answers(self, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Draws] = []

        def said(lm: LanguageModel, prompts: Sequence[str], *, draws: Draws, **more: object) -> list[str]:
            seen.append(draws)
            # Two samples for each of two prompts, one sample of all prompts after the other.
            assert prompts == ["p", "q", "p", "q"]
            return ["one two", "four", "", "four"]

        monkeypatch.setattr(overlap_module, "generate", said)
        found = generation_overlap(lm, TEXT, [Example("p", " one two three"), Example("q", " four")], 2, 1)
        # ROUGE-L of "one two" against three words: precision 1, recall 2/3, F 4/5; of nothing: 0.
        np.testing.assert_allclose(found, [0.4, 1.0])
        (draws,) = seen
        assert (draws.temperature, draws.top_p) == (TEMPERATURE, TOP_P)
        assert draws.uniforms.shape == (4, 4)
        assert len(np.unique(draws.uniforms)) == 16

    def test_equal_seeds_give_equal_draws(self, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Draws] = []

        def said(lm: LanguageModel, prompts: Sequence[str], *, draws: Draws, **more: object) -> list[str]:
            seen.append(draws)
            return [""] * len(prompts)

        monkeypatch.setattr(overlap_module, "generate", said)
        for seed in (1, 1, 2):
            generation_overlap(lm, TEXT, [Example("p", " x")], 3, seed)
        first, same, other = (draws.uniforms for draws in seen)
        np.testing.assert_array_equal(first, same)
        assert (first != other).all()

    def test_an_answer_that_the_model_gives_is_found(self, lm: LanguageModel) -> None:
        prompts = ["say:", "tell:"]
        draws = Draws(TEMPERATURE, TOP_P, np.random.default_rng(6).random((2, 40)))
        given = generate(lm, prompts, max_new_tokens=40, draws=draws)
        assert all(any(letter.isalnum() and letter.isascii() for letter in text) for text in given)
        examples = [Example(prompt, f" {text}") for prompt, text in zip(prompts, given, strict=True)]
        task = replace(TEXT, max_new_tokens=40)
        np.testing.assert_allclose(generation_overlap(lm, task, examples, 1, 6), [1.0, 1.0])
        swapped = [
            replace(one, prompt=other.prompt) for one, other in zip(examples, examples[::-1], strict=True)
        ]
        assert (generation_overlap(lm, task, swapped, 1, 6) < 0.9).all()


def test_a_label_is_right_as_often_as_it_is_likely(lm: LanguageModel) -> None:
    task = replace(TASKS["lamp-2"], labels=("x", "y"))
    prompts = ["a", "b", "c"]
    likely = softmax(score_labels(lm, prompts, task.labels), axis=1)[:, 0]
    found = generation_overlap(lm, task, [Example(prompt, " x") for prompt in prompts], 4000, 2)
    # Of two labels the likeliest 95 % may be one alone.
    expected = np.where(likely > 0.95, 1.0, np.where(likely < 0.05, 0.0, likely))
    np.testing.assert_allclose(found, expected, atol=0.03)
