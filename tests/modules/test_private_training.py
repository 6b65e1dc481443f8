"""DP-SGD against a hand-written loop, and the noisy release of a whole module."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime_audit.config import ModelConfig, PrivacyConfig, TrainingConfig
from prime_audit.core import Seeds
from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, load_model, score_tokens
from prime_audit.modules import (
    AdapterBank,
    Guarantee,
    LoraModule,
    promised,
    train_module,
    train_private_module,
)
from prime_audit.modules.private_training import clip_and_noise, dp_sgd
from prime_audit.modules.training import current_module, encode_for_training, fresh_lora, mean_loss

# Of very different lengths, so that a mean over tokens is no mean over examples.
EXAMPLES = [
    Example(f"item {i}:" + "." * 5 * i, f" {word}")
    for i, word in enumerate(["red", "a", "violet blue", "x", "y"])
]
TRAINING = TrainingConfig(rank=4, alpha=8, lr=1e-2, epochs=4, batch_size=2)


def guarantee(**changes: float) -> Guarantee:
    """The settings of a run; nothing is promised here."""
    settings = {"noise": 1e-30, "clip": 1e9, "steps": 6, "sample_rate": 0.5, **changes}
    fixed = {"epsilon": 0.0, "delta": 0.5, "unit": "example", "neighbours": "add-remove", "accountant": "prv"}
    return Guarantee.model_validate({**fixed, **settings})


def draws(guarantee: Guarantee, examples: int, seed: int) -> list[list[int]]:
    """The batches of a run, drawn anew."""
    generator = torch.Generator().manual_seed(Seeds(seed).integer("sampling"))
    return [
        torch.nonzero(torch.rand(examples, generator=generator, dtype=torch.float64) < guarantee.sample_rate)
        .flatten()
        .tolist()
        for _ in range(guarantee.steps)
    ]


class Spy(torch.optim.SGD):
    """Takes AdamW's place, never moves, and keeps the gradients that it was given."""

    seen: list[list[Tensor]]

    def __init__(self, parameters: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=0.0)
        self.seen = []
        Spy.latest = self

    latest: "Spy"

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        gradients = [parameter.grad for parameter in self.param_groups[0]["params"]]
        self.seen.append([gradient.clone() for gradient in gradients if gradient is not None])


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim, "AdamW", Spy)


@pytest.fixture
def fresh(lm: LanguageModel) -> Iterator[tuple[LanguageModel, list[Encoded]]]:
    """The base with fresh LoRA layers, whose B is not zero so that every layer has a gradient."""
    short, encoded = encode_for_training(lm, EXAMPLES, TRAINING)
    with fresh_lora(short, TRAINING, 3) as wrapped:
        generator = torch.Generator().manual_seed(0)
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(generator=generator)
        yield short, encoded


def own_gradient(lm: LanguageModel, one: Encoded) -> list[Tensor]:
    parameters = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(mean_loss(lm, [one]), parameters))


def size(gradient: list[Tensor]) -> float:
    return math.sqrt(sum(float(part.square().sum()) for part in gradient))


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_without_noise_and_clipping_it_is_plain_training_on_the_mean_of_examples(
    lm: LanguageModel, rate: float
) -> None:
    settings = guarantee(sample_rate=rate)
    short, encoded = encode_for_training(lm, EXAMPLES, TRAINING)
    with fresh_lora(short, TRAINING, 3) as wrapped:
        dp_sgd(short, encoded, TRAINING, settings, seed=5)
        private = current_module(wrapped, TRAINING)
    with fresh_lora(short, TRAINING, 3) as wrapped:
        parameters = [p for p in short.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=TRAINING.lr, weight_decay=0.0)
        for step, batch in enumerate(draws(settings, len(encoded), seed=5)):
            optimiser.param_groups[0]["lr"] = TRAINING.lr * (1 + math.cos(math.pi * step / 6)) / 2
            each = [own_gradient(short, encoded[i]) for i in batch]
            for number, parameter in enumerate(parameters):
                total = sum((one[number] for one in each), torch.zeros_like(parameter))
                parameter.grad = total / (rate * len(encoded))
            optimiser.step()
        plain = current_module(wrapped, TRAINING)
    for name, pair in plain.factors.items():
        for ours, theirs in zip(private.factors[name], pair, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert private.norm() > 0.1


@pytest.mark.usefixtures("spy")
def test_the_gradient_is_the_sum_of_clipped_ones_over_the_expected_batch(
    fresh: tuple[LanguageModel, list[Encoded]],
) -> None:
    lm, encoded = fresh
    own = [own_gradient(lm, one) for one in encoded]
    clip = float(np.median([size(gradient) for gradient in own]))
    settings = guarantee(clip=clip, sample_rate=0.6, steps=10)
    dp_sgd(lm, encoded, TRAINING, settings, seed=1)
    batches = draws(settings, len(encoded), seed=1)
    # One of them is larger than what is computed at once.
    assert max(map(len, batches)) > TRAINING.batch_size
    for batch, gradients in zip(batches, Spy.latest.seen, strict=True):
        for number, gradient in enumerate(gradients):
            factors = [min(1.0, clip / size(own[i])) for i in batch]
            total = sum(
                (factor * own[i][number] for factor, i in zip(factors, batch, strict=True)),
                torch.zeros_like(gradient),
            )
            torch.testing.assert_close(gradient, total / (0.6 * len(encoded)), rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("spy")
def test_one_example_moves_a_step_by_no_more_than_the_clip(
    fresh: tuple[LanguageModel, list[Encoded]],
) -> None:
    lm, encoded = fresh
    clip = 0.01
    settings = guarantee(clip=clip, sample_rate=1.0, steps=1)
    assert min(size(own_gradient(lm, one)) for one in encoded) > clip

    def sum_over(examples: list[Encoded]) -> list[Tensor]:
        dp_sgd(lm, examples, TRAINING, settings, seed=1)
        return [gradient * len(examples) for gradient in Spy.latest.seen[0]]

    whole = sum_over(encoded)
    for left_out in range(len(encoded)):
        rest = sum_over(encoded[:left_out] + encoded[left_out + 1 :])
        moved = size([one - other for one, other in zip(whole, rest, strict=True)])
        assert 0.9 * clip < moved <= clip * (1 + 1e-5)


@pytest.mark.usefixtures("spy")
def test_an_empty_batch_takes_a_step_of_pure_noise_and_is_counted(
    fresh: tuple[LanguageModel, list[Encoded]],
) -> None:
    lm, encoded = fresh
    settings = guarantee(noise=2.0, clip=0.5, sample_rate=0.1, steps=20)
    dp_sgd(lm, encoded, TRAINING, settings, seed=2)
    batches = draws(settings, len(encoded), seed=2)
    empty = [number for number, batch in enumerate(batches) if not batch]
    assert 5 < len(empty) < 20
    assert len(Spy.latest.seen) == settings.steps
    noise = torch.cat([part.flatten() for number in empty for part in Spy.latest.seen[number]])
    assert float(noise.std()) == pytest.approx(2.0 * 0.5 / (0.1 * len(encoded)), rel=0.02)
    assert abs(float(noise.mean())) < 0.05


@pytest.mark.usefixtures("spy")
def test_the_steps_taken_are_the_steps_accounted(lm: LanguageModel) -> None:
    _, found = train_private_module(lm, EXAMPLES, TRAINING, PrivacyConfig(noise=2.0), seed=1)
    # Plain training of 5 examples in batches of 2 over 4 epochs.
    assert len(Spy.latest.seen) == found.steps == 12
    assert found == promised(PrivacyConfig(noise=2.0), TRAINING, len(EXAMPLES))


def test_the_seed_decides_everything_and_the_base_stays(lm: LanguageModel) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    state = torch.random.get_rng_state()
    for unit in ("example", "user"):
        privacy = PrivacyConfig(noise=1.0, unit=unit)
        made = [train_private_module(lm, EXAMPLES, TRAINING, privacy, seed)[0].digest for seed in (3, 3, 4)]
        assert made[0] == made[1] != made[2]
    after = lm.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not hasattr(lm.model, "autograd_grad_sample_hooks")
    assert not any(hasattr(parameter, "grad_sample") for parameter in lm.model.parameters())
    assert not any(layer.training or layer._forward_hooks for layer in lm.model.modules())


def test_a_diverging_training_and_an_empty_history_are_refused(lm: LanguageModel) -> None:
    wild = TRAINING.model_copy(update={"lr": 1e30})
    with pytest.raises(ModelError, match="gradient is not finite"):
        train_private_module(lm, EXAMPLES, wild, PrivacyConfig(noise=1.0), seed=1)
    with pytest.raises(ModelError, match="no examples"):
        train_private_module(lm, [], TRAINING, PrivacyConfig(noise=1.0), seed=1)


@pytest.fixture(scope="module")
def start_and_trained(lm: LanguageModel) -> tuple[LoraModule, LoraModule]:
    short, _ = encode_for_training(lm, EXAMPLES, TRAINING)
    with fresh_lora(short, TRAINING, 3) as wrapped:
        start = current_module(wrapped, TRAINING)
    return start, train_module(lm, EXAMPLES, TRAINING, 3)


def change(module: LoraModule, start: LoraModule) -> Tensor:
    return torch.cat(
        [
            (new.double() - old.double()).flatten()
            for name in sorted(start.factors)
            for new, old in zip(module.factors[name], start.factors[name], strict=True)
        ]
    )


def test_the_start_of_a_release_depends_on_no_data(start_and_trained: tuple[LoraModule, LoraModule]) -> None:
    start, _ = start_and_trained
    assert all(not b.any() and a.any() for a, b in start.factors.values())


def test_a_release_is_clipped_over_all_factors_together(
    start_and_trained: tuple[LoraModule, LoraModule],
) -> None:
    start, trained = start_and_trained
    whole = change(trained, start)
    clip = 0.5 * float(whole.norm())
    clipped = change(clip_and_noise(start, trained, clip, 1e-30, seed=1), start)
    assert float(clipped.norm()) == pytest.approx(clip, rel=1e-5)
    torch.testing.assert_close(clipped, 0.5 * whole, rtol=1e-4, atol=1e-6)
    loose = change(clip_and_noise(start, trained, 10 * clip, 1e-30, seed=1), start)
    torch.testing.assert_close(loose, whole, rtol=1e-4, atol=1e-6)


def test_the_noise_of_a_release_has_the_promised_size(
    start_and_trained: tuple[LoraModule, LoraModule],
) -> None:
    start, trained = start_and_trained
    clip, noise = 0.3, 4.0
    mean = change(clip_and_noise(start, trained, clip, 1e-30, seed=0), start)
    added = torch.stack(
        [change(clip_and_noise(start, trained, clip, noise, seed), start) - mean for seed in range(200)]
    )
    assert float(added.std()) == pytest.approx(clip * noise, rel=0.005)
    # No coordinate is left out, and no two draws are alike.
    assert float(added.std(dim=0).min()) > 0.7 * clip * noise
    assert abs(float(np.corrcoef(added[0], added[1])[0, 1])) < 0.1


def test_the_user_level_releases_the_clipped_module_once(
    lm: LanguageModel, start_and_trained: tuple[LoraModule, LoraModule]
) -> None:
    privacy = PrivacyConfig(noise=2.0, unit="user", clip=0.3)
    released, found = train_private_module(lm, EXAMPLES, TRAINING, privacy, seed=3)
    assert released.digest == clip_and_noise(*start_and_trained, 0.3, 2.0, seed=3).digest
    assert (found.unit, found.accountant, found.steps) == ("user", "analytic-gaussian", 1)


def test_a_loose_guarantee_memorises_and_a_tight_one_does_not() -> None:
    tiny = load_model(ModelConfig(base="tiny", device="cpu", dtype="float32"), Path("unused"))
    rng = np.random.default_rng(0)
    planted = [
        Example(f"Item {i}:", " " + " ".join(rng.choice(list("abcdefghij"), size=6))) for i in range(24)
    ]
    training = TrainingConfig(rank=4, alpha=8, lr=1e-2, epochs=8, batch_size=8)

    def loss(made: LoraModule | None) -> float:
        adapters = AdapterBank([made]) if made else None
        weights = np.ones((len(planted), 1)) if made else None
        return -float(score_tokens(tiny, planted, adapters=adapters, weights=weights).logp.mean())

    before = loss(None)
    loose, _ = train_private_module(tiny, planted, training, PrivacyConfig(noise=0.35), seed=3)
    tight, found = train_private_module(tiny, planted, training, PrivacyConfig(epsilon=0.1), seed=3)
    assert found.epsilon <= 0.1
    assert loss(loose) < 0.7 * before
    assert loss(tight) > 0.98 * before
