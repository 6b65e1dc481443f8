from collections.abc import Callable

import numpy as np
import pytest
import torch

from prime_audit.errors import ModelError
from prime_audit.models import (
    Example,
    LanguageModel,
    continue_tokens,
    generate,
    score_continuations,
    score_labels,
    score_tokens,
)
from prime_audit.models.encoding import encode_prompts

Make = Callable[..., LanguageModel]
PROMPTS = ["a:", "a rather long prompt, which pads all others:", "", "b b b:", "a:", "xyz", "q" * 30]


def _greedy(lm: LanguageModel, prompt: str, limit: int) -> list[int]:
    """The plainest loop: no cache, no padding, no batch."""
    ids = encode_prompts(lm, [prompt], 1000)[0]
    new: list[int] = []
    for _ in range(limit):
        with torch.no_grad():
            token = int(lm.model(torch.tensor([ids + new])).logits[0, -1].argmax())
        if token in lm.stop_ids:
            break
        new.append(token)
    return new


@pytest.fixture(scope="module")
def free(lm: LanguageModel) -> list[list[int]]:
    """Ten new tokens per prompt, token by token."""
    return [_greedy(lm, prompt, 10) for prompt in PROMPTS]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batched_equals_a_plain_greedy_loop(make_lm: Make, free: list[list[int]], batch_size: int) -> None:
    # The most frequent byte of the unrestricted outputs becomes a stop token: rows end at different times.
    tokens, counts = np.unique(np.concatenate(free), return_counts=True)
    stop = int(tokens[counts.argmax()])
    lm = make_lm()
    lm.model.generation_config.eos_token_id = [0, stop]
    expected = [new[: new.index(stop)] if stop in new else new for new in free]
    assert len({len(new) for new in expected}) > 1
    texts = generate(lm, PROMPTS, max_new_tokens=10, batch_size=batch_size)
    assert texts == lm.tokenizer.batch_decode(expected)


def test_stops_at_eos_at_once(make_lm: Make) -> None:
    lm = make_lm()
    # With one embedding for all tokens the state is the same everywhere, and the head answers it with EOS.
    lm.model.model.embed_tokens.weight[:] = lm.model.model.embed_tokens.weight[1]
    lm.model.lm_head.weight[:] = 0.0
    state = lm.model.base_model(torch.tensor([[1]]))[0][0, -1]
    lm.model.lm_head.weight[lm.eos_id] = state
    assert generate(lm, ["a", "bcd"], max_new_tokens=5) == ["", ""]


def test_an_answer_longer_than_the_context_is_refused(make_lm: Make) -> None:
    with pytest.raises(ModelError, match="leaves no room"):
        generate(make_lm(max_tokens=8), ["a"], max_new_tokens=8)


def test_long_prompts_keep_their_end(make_lm: Make) -> None:
    lm = make_lm(max_tokens=16)
    kept = "0123456789"[-(16 - 8 - 1) :]
    assert generate(lm, ["0123456789"], max_new_tokens=8) == generate(lm, [kept], max_new_tokens=8)


LABELS = ["1", "2", "comedy", "twist ending", "com"]


@pytest.mark.parametrize("batch_tokens", [1, 300, 8192])
def test_labels_equal_scored_completions(lm: LanguageModel, batch_tokens: int) -> None:
    scores = score_labels(lm, PROMPTS, LABELS, batch_tokens=batch_tokens)
    examples = [Example(prompt, f" {label}") for prompt in PROMPTS for label in LABELS]
    evidence = score_tokens(lm, examples)
    sums = [evidence.logp[evidence.record(i)].sum() for i in range(len(examples))]
    np.testing.assert_allclose(scores, np.reshape(sums, scores.shape), atol=5e-5)


FREE = ["10", "12", "2", "a longer one", "b"]  # none of them begins another


@pytest.mark.parametrize("batch_tokens", [1, 300, 8192])
@pytest.mark.parametrize("labels", [FREE, ["1", "2", "3"], ["ab one", "ab two", "ab"], ["same"]])
def test_the_end_is_scored_only_where_a_label_begins_another(
    lm: LanguageModel, labels: list[str], batch_tokens: int
) -> None:
    scores = score_labels(lm, PROMPTS, labels, batch_tokens=batch_tokens)
    examples = [Example(prompt, f" {label}") for prompt in PROMPTS for label in labels]
    evidence = score_tokens(lm, examples)
    end = None if "ab" in labels else -1
    sums = [evidence.logp[evidence.record(i)][:end].sum() for i in range(len(examples))]
    np.testing.assert_allclose(scores, np.reshape(sums, scores.shape), atol=5e-5)


def test_the_likeliest_label_is_what_greedy_decoding_says_where_it_says_one(make_lm: Make) -> None:
    said, chosen = [], []
    for seed in range(40):
        lm = make_lm(seed)
        # Every token but the labels' is made unlikely, so that decoding says one; what follows it is free.
        lm.model.lm_head.weight[:] *= 0.2
        for label in ("1", "2", "3", " "):
            token = lm.tokenizer.encode(label, add_special_tokens=False)[0]
            lm.model.lm_head.weight[token] *= 8
        for prompt, text in zip(PROMPTS, generate(lm, PROMPTS, max_new_tokens=3), strict=True):
            if text[:2] in (" 1", " 2", " 3"):
                said.append(text[1])
                chosen.append("123"[int(score_labels(lm, [prompt], ["1", "2", "3"]).argmax())])
    assert len(said) >= 10
    assert len(set(said)) > 1
    assert chosen == said


def test_no_prompts_give_no_scores(lm: LanguageModel) -> None:
    assert score_labels(lm, [], LABELS).shape == (0, len(LABELS))
    assert generate(lm, [], max_new_tokens=3) == []


def test_labels_must_not_be_missing(lm: LanguageModel) -> None:
    with pytest.raises(ValueError, match="there must be labels"):
        score_labels(lm, ["a"], [])


class TestContinuations:
    TEXTS = ("one", "one more", "another thing", "one", "z")

    @pytest.mark.parametrize("batch_tokens", [1, 60, 8192])
    def test_equal_the_sum_over_the_answer_without_its_end(self, make_lm: Make, batch_tokens: int) -> None:
        lm, prompt = make_lm(), "what is asked:"
        found = score_continuations(lm, prompt, self.TEXTS, batch_tokens=batch_tokens)
        plain = score_tokens(lm, [Example(prompt, f" {text}") for text in self.TEXTS])
        for place, value in enumerate(found):
            logp = plain.logp[plain.offsets[place] : plain.offsets[place + 1]]
            assert value == pytest.approx(logp[:-1].sum(), abs=1e-4)
        # A text that begins another is no less likely than without the other one in the list.
        assert found[0] == pytest.approx(score_continuations(lm, prompt, ["one"])[0], abs=1e-5)

    def test_an_empty_one_is_refused(self, make_lm: Make) -> None:
        with pytest.raises(ValueError, match="there must be continuations"):
            score_continuations(make_lm(), "a", [])

    @pytest.mark.parametrize("batch_size", [1, 2, 64])
    def test_tokens_are_continued_as_a_plain_loop_would(
        self, make_lm: Make, free: list[list[int]], batch_size: int
    ) -> None:
        lm = make_lm()
        rows = encode_prompts(lm, PROMPTS, 1000)
        assert continue_tokens(lm, rows, 10, batch_size=batch_size) == free

    def test_more_than_the_context_is_refused(self, make_lm: Make) -> None:
        with pytest.raises(ModelError, match="are more than its context of 8"):
            continue_tokens(make_lm(max_tokens=8), [[1, 2, 3, 4, 5]], 4)
