import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CohereConfig, CohereForCausalLM

from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, encode, score_tokens
from prime_audit.models import forward as forward_module

Make = Callable[..., LanguageModel]
EXAMPLES = [
    Example("short:", " yes"),
    Example("a much longer prompt than the others, to be padded against:", " no"),
    Example("", "only a completion"),
    Example("empty completion:", ""),
    Example("ünïcode 🙂:", " 🙂🙂"),
]


def _naive(lm: LanguageModel, example: Example, loss: str) -> list[tuple[float, float, float, bool]]:
    encoded = encode(lm, example, loss)
    with torch.no_grad():
        logits = lm.model(torch.tensor([encoded.ids])).logits[0].double()
    rows = []
    for t, (token, scored) in enumerate(zip(encoded.ids, encoded.scored, strict=True)):
        if scored:
            logp = torch.log_softmax(logits[t - 1], dim=-1)
            p = logp.exp()
            mean = float((p * logp).sum())
            std = float((p * logp**2).sum() - mean**2) ** 0.5
            rows.append((float(logp[token]), mean, std, int(logits[t - 1].argmax()) == token))
    return rows


@pytest.mark.parametrize("loss", ["answer", "full"])
def test_equals_a_naive_loop(lm: LanguageModel, loss: str) -> None:
    scores = score_tokens(lm, EXAMPLES, loss=loss)
    assert len(scores) == len(EXAMPLES)
    for i, example in enumerate(EXAMPLES):
        part = scores.record(i)
        logp, mean, std, best = zip(*_naive(lm, example, loss), strict=True)
        np.testing.assert_allclose(scores.logp[part], logp, atol=1e-5)
        np.testing.assert_allclose(scores.mean_logp[part], mean, atol=1e-5)
        np.testing.assert_allclose(scores.std_logp[part], std, atol=1e-5)
        assert scores.is_argmax[part].tolist() == list(best)


def test_does_not_depend_on_the_batch(lm: LanguageModel) -> None:
    together = score_tokens(lm, EXAMPLES, loss="full", batch_tokens=4096)
    alone = score_tokens(lm, EXAMPLES, loss="full", batch_tokens=1)
    for name in ("logp", "mean_logp", "std_logp"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), atol=1e-5)
    np.testing.assert_array_equal(together.offsets, alone.offsets)
    np.testing.assert_array_equal(together.token, alone.token)


def test_a_scored_token_that_is_also_padding_and_zero_counts(lm: LanguageModel) -> None:
    assert lm.eos_id == lm.tokenizer.pad_token_id == 0
    scores = score_tokens(lm, [Example("p", ""), Example("p", "abc")])
    assert scores.lengths.tolist() == [1, 4]
    assert (scores.logp < 0).all()


def test_tokens_are_renumbered_and_keep_equality(lm: LanguageModel) -> None:
    scores = score_tokens(lm, [Example("", "aba"), Example("", "b")])
    # The distinct ids in ascending order are EOS, a, b.
    assert scores.token.tolist() == [1, 2, 1, 0, 2, 0]
    table = np.arange(300)[::-1]
    raw = encode(lm, Example("", "aba"), "answer").ids[1:]
    assert score_tokens(lm, [Example("", "aba")], remap=table).token.tolist() == [299 - i for i in raw]


def test_compressed_bytes_are_those_of_the_scored_text(lm: LanguageModel) -> None:
    example = Example("prompt", " " + "a" * 100)
    answer = score_tokens(lm, [example]).compressed_bytes
    full = score_tokens(lm, [example], loss="full").compressed_bytes
    assert answer.tolist() == [len(zlib.compress((" " + "a" * 100).encode()))]
    assert full.tolist() == [len(zlib.compress(("prompt " + "a" * 100).encode()))]


def test_many_blocks_of_logits_equal_one(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_tokens(lm, EXAMPLES, loss="full")
    monkeypatch.setattr(forward_module, "_LOGITS_AT_ONCE", 3 * 258)
    blocks = score_tokens(lm, EXAMPLES, loss="full")
    np.testing.assert_allclose(blocks.logp, whole.logp, atol=1e-6)


def test_a_model_that_scales_its_logits_takes_the_long_way(make_lm: Make) -> None:
    lm = make_lm()
    settings = {
        key: getattr(lm.model.config, key) for key in ("vocab_size", "hidden_size", "intermediate_size")
    }
    torch.manual_seed(0)
    config = CohereConfig(
        **settings, num_hidden_layers=1, num_attention_heads=4, logit_scale=0.5, initializer_range=0.3
    )
    model: Any = CohereForCausalLM(config)
    scaled = LanguageModel(model.eval().requires_grad_(False), lm.tokenizer, lm.device, "c", "cohere", 64)
    assert lm.plain_head
    assert not scaled.plain_head
    scores = score_tokens(scaled, EXAMPLES[:1])
    logp = [row[0] for row in _naive(scaled, EXAMPLES[0], "answer")]
    np.testing.assert_allclose(scores.logp, logp, atol=1e-5)


def test_nothing_to_score_gives_empty_evidence(lm: LanguageModel) -> None:
    assert len(score_tokens(lm, [])) == 0


def test_a_broken_model_is_named(make_lm: Make) -> None:
    lm = make_lm()
    lm.model.lm_head.weight[5] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        score_tokens(lm, EXAMPLES)
