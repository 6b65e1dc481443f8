import numpy as np
import pytest
import torch

from prime_audit.models import Draws, LanguageModel, choose_labels, generate
from prime_audit.models.sampling import pick

LOGITS = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))


@pytest.mark.parametrize(
    ("top_p", "uniform", "token"),
    [
        # By probability: token 1 up to .5, token 2 up to .8, token 0 up to 1.
        (1.0, 0.49, 1),
        (1.0, 0.51, 2),
        (1.0, 0.81, 0),
        # The first two hold .8; renormalised they meet at .625.
        (0.7, 0.62, 1),
        (0.7, 0.63, 2),
        (0.7, 0.999999, 2),
        (0.5, 0.999999, 1),
        (1.0, 0.0, 1),
    ],
)
def test_the_nucleus_is_cut_and_renormalised(top_p: float, uniform: float, token: int) -> None:
    uniforms = torch.tensor([uniform], dtype=torch.float64)
    assert pick(LOGITS, 1.0, top_p, uniforms).tolist() == [token]


def test_frequencies_are_the_probabilities() -> None:
    uniforms = torch.from_numpy(np.random.default_rng(0).random(20_000))
    tokens = pick(LOGITS.expand(20_000, 3), 1.0, 1.0, uniforms)
    shares = np.bincount(tokens.numpy(), minlength=3) / 20_000
    # Four standard errors of a share of one half.
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.0142)


def test_a_temperature_of_one_half_squares_the_odds() -> None:
    uniforms = torch.from_numpy(np.random.default_rng(1).random(20_000))
    tokens = pick(LOGITS.expand(20_000, 3), 0.5, 1.0, uniforms)
    expected = np.array([0.04, 0.25, 0.09]) / 0.38
    assert np.bincount(tokens.numpy(), minlength=3) / 20_000 == pytest.approx(expected, abs=0.0142)


def test_labels_are_drawn_with_the_rows_first_number() -> None:
    scores = np.log(np.array([[0.2, 0.5, 0.3]] * 2))
    draws = Draws(1.0, 1.0, np.array([[0.51], [0.1]]))
    assert choose_labels(scores, draws).tolist() == [2, 1]
    assert choose_labels(scores).tolist() == [1, 1]


def test_sampled_texts_do_not_depend_on_the_batch(lm: LanguageModel) -> None:
    prompts = ["a:", "something longer:", "b:", "cc:"]
    uniforms = np.random.default_rng(2).random((4, 8))
    draws = Draws(1.0, 0.9, uniforms)
    together = generate(lm, prompts, max_new_tokens=8, draws=draws)
    alone = [
        generate(lm, [prompt], max_new_tokens=8, draws=Draws(1.0, 0.9, uniforms[i : i + 1]))[0]
        for i, prompt in enumerate(prompts)
    ]
    assert together == alone
    assert together != generate(lm, prompts, max_new_tokens=8)
