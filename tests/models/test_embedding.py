import numpy as np
import torch

from prime_audit.models import LanguageModel, embed
from prime_audit.models.encoding import encode_prompts


def test_is_the_mean_over_the_text_alone(lm: LanguageModel) -> None:
    texts = ["short", "a text that is much longer than the other one"]
    embedded = embed(lm, texts)
    for row, text in zip(embedded, texts, strict=True):
        ids = torch.tensor(encode_prompts(lm, [text], 1000))
        with torch.no_grad():
            states = lm.model.model(ids)[0][0].double()
        np.testing.assert_allclose(row, states[1:].mean(dim=0).numpy(), atol=1e-5)


def test_does_not_depend_on_the_batch(lm: LanguageModel) -> None:
    texts = ["a", "bb ccc", "d" * 50]
    np.testing.assert_allclose(embed(lm, texts), embed(lm, texts, batch_tokens=1), atol=1e-5)


def test_an_empty_text_has_an_embedding(lm: LanguageModel) -> None:
    assert np.isfinite(embed(lm, [""])).all()
    assert embed(lm, []).shape == (0, 32)
