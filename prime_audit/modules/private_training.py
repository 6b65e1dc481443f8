"""Training of LoRA modules with differential privacy: DP-SGD per example, or one noisy release per user."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from prime_audit.config import PrivacyConfig, TrainingConfig
from prime_audit.core import Seeds
from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, fits_or_says
from prime_audit.models.forward import logits_of, pad, predicted_mask, states_of
from prime_audit.modules.lora import LoraModule
from prime_audit.modules.privacy import Guarantee, promised, quiet_opacus
from prime_audit.modules.training import (
    TOO_LARGE,
    current_module,
    encode_for_training,
    fresh_lora,
    set_rate,
    train_module,
)


def train_private_module(
    lm: LanguageModel,
    examples: Sequence[Example],
    training: TrainingConfig,
    privacy: PrivacyConfig,
    seed: int,
) -> tuple[LoraModule, Guarantee]:
    """Trains one LoRA module with differential privacy.

    All randomness, the noise too, grows from ``seed``, so that an audit can be repeated. The guarantee
    therefore holds only against somebody who does not know the seed: it may not be published with the
    module, it has 31 bits that can be searched, and ordinary floating-point noise is not proof against
    attacks on its last bits. A module that is really released needs noise from a secret source.

    Args:
        lm: The base.
        examples: What to train on; plain examples, one per record.
        training: As for `train_module`; batch size and epochs also decide sampling rate and steps.
        privacy: Unit, target ε or noise, δ and clip.
        seed: Decides initialisation, sampling and noise.

    Returns:
        The module and what its training promises.

    Raises:
        ModelError: See `train_module`.
        ConfigError: The privacy settings cannot be met, or opacus is missing.
    """
    short, encoded = encode_for_training(lm, examples, training)
    guarantee = promised(privacy, training, len(encoded))
    if guarantee.unit == "user":
        return _noisy_release(lm, examples, training, guarantee, seed), guarantee
    with fresh_lora(short, training, seed) as wrapped:
        dp_sgd(short, encoded, training, guarantee, seed)
        return current_module(wrapped, training), guarantee


@fits_or_says("a batch of the training", TOO_LARGE)
def dp_sgd(
    lm: LanguageModel, encoded: Sequence[Encoded], training: TrainingConfig, guarantee: Guarantee, seed: int
) -> None:
    """Trains the model's LoRA layers by DP-SGD (Abadi et al. 2016, arXiv 1607.00133) with AdamW's update.

    A step takes every example with probability ``sample_rate`` (Poisson), clips each one's gradient, over
    all layers together, to the norm ``clip``, sums, adds N(0, (noise · clip)²) per coordinate and divides by
    the *expected* batch size. An empty batch is a step like any other: pure noise. Whatever AdamW and the
    learning rate make of the noisy gradients is post-processing. An example's loss is the mean over its own
    scored tokens, so that no example's gradient depends on another's.

    Args:
        lm: The base with fresh LoRA layers in it.
        encoded: The examples.
        training: Learning rate; the batch size bounds how many examples are computed at once.
        guarantee: Noise, clip, steps and sampling rate.
        seed: Decides sampling and noise.

    Raises:
        ModelError: A gradient is not finite.
    """
    parameters = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=training.lr, weight_decay=0.0)
    sampling = torch.Generator().manual_seed(Seeds(seed).integer("sampling"))
    noise = torch.Generator().manual_seed(Seeds(seed).integer("noise"))
    expected = guarantee.sample_rate * len(encoded)
    with _per_example_gradients(lm.model):
        for step in range(guarantee.steps):
            set_rate(optimiser, training, step, guarantee.steps)
            drawn = torch.rand(len(encoded), generator=sampling, dtype=torch.float64) < guarantee.sample_rate
            batch = [one for one, taken in zip(encoded, drawn.tolist(), strict=True) if taken]
            total = _clipped_sum(lm, batch, parameters, guarantee.clip, training.batch_size)
            for parameter, summed in zip(parameters, total, strict=True):
                added = torch.randn(parameter.shape, generator=noise) * (guarantee.noise * guarantee.clip)
                parameter.grad = (summed + added.to(summed.device)) / expected
            optimiser.step()


def _clipped_sum(
    lm: LanguageModel, batch: Sequence[Encoded], parameters: Sequence[nn.Parameter], clip: float, at_once: int
) -> list[Tensor]:
    """Sums the examples' clipped gradients, a few examples at a time; zeros for an empty batch."""
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for start in range(0, len(batch), at_once):
        torch.autograd.backward(_summed_loss(lm, batch[start : start + at_once]))
        each = [_taken(parameter) for parameter in parameters]
        norms = torch.stack([one.flatten(1).norm(dim=1) for one in each]).norm(dim=0)
        if not bool(norms.isfinite().all()):
            raise ModelError(
                "an example's gradient is not finite", hint="lower training.lr, or use model.dtype: float32"
            )
        # The small term keeps rounding from lifting a clipped norm above the clip.
        factors = (clip / (norms + 1e-6)).clamp(max=1.0)
        for summed, one in zip(total, each, strict=True):
            summed += torch.einsum("n,n...->...", factors, one)
    return total


def _taken(parameter: nn.Parameter) -> Tensor:
    """Takes the gradients that opacus left on a parameter, ``(examples, *shape)``."""
    gradients: Tensor = parameter.grad_sample  # type: ignore[attr-defined]  # set by opacus
    parameter.grad_sample = None  # type: ignore[attr-defined]
    parameter.grad = None
    return gradients


def _summed_loss(lm: LanguageModel, batch: Sequence[Encoded]) -> Tensor:
    """Returns the sum over examples of the mean negative log-likelihood of their own scored tokens."""
    ids, mask = pad(lm, [one.ids for one in batch])
    wanted = predicted_mask(lm, batch, ids.shape[1])
    states = states_of(lm, ids, mask)[:, :-1][wanted]
    losses = nn.functional.cross_entropy(logits_of(lm, states), ids[:, 1:][wanted], reduction="none")
    tokens = wanted.sum(dim=1, keepdim=True).expand_as(wanted)[wanted]
    return (losses / tokens).sum()


@contextmanager
def _per_example_gradients(model: nn.Module) -> Iterator[None]:
    """Lets opacus hook the trainable layers, so that a backward pass leaves one gradient per example."""
    with quiet_opacus():
        from opacus.grad_sample import GradSampleModule

    layers = [
        layer for layer in model.modules() if any(p.requires_grad for p in layer.parameters(recurse=False))
    ]
    # Opacus watches layers in training mode only; the base stays in eval mode, without dropout.
    for layer in layers:
        layer.training = True
    hooks = GradSampleModule(model, loss_reduction="sum", strict=True)
    try:
        with warnings.catch_warnings():
            # The first layer's input needs no gradient; opacus asks for those of its outputs alone.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            yield
    finally:
        hooks.remove_hooks()


def _noisy_release(
    lm: LanguageModel,
    examples: Sequence[Example],
    training: TrainingConfig,
    guarantee: Guarantee,
    seed: int,
) -> LoraModule:
    """Trains plainly, then releases the factors once, clipped and with noise."""
    with fresh_lora(lm, training, seed) as wrapped:
        start = current_module(wrapped, training)
    trained = train_module(lm, examples, training, seed)
    return clip_and_noise(start, trained, guarantee.clip, guarantee.noise, seed)


def clip_and_noise(
    start: LoraModule, trained: LoraModule, clip: float, noise: float, seed: int
) -> LoraModule:
    """Clips the change of a module's factors and adds Gaussian noise once: the Gaussian mechanism.

    What is released is the vector of all factors (A, B), and its change from the data-independent start
    (A₀, B₀ = 0) has norm at most C after clipping. So for any two users, neighbours by replacing everything
    one has, the released means differ by at most 2C: a deviation of noise · C is noise / 2 per sensitivity.

    ΔW = s B A is computed from the release and adds nothing (post-processing). ΔW itself is of low rank:
    full-rank noise on it could not be released as factors, and its norm says nothing about theirs.

    Args:
        start: The module before training; it depends on the seed alone.
        trained: The module after training.
        clip: C, the largest Frobenius norm of the factors' change over all layers together.
        noise: Standard deviation of the noise per coordinate, over C.
        seed: Decides the noise.

    Returns:
        The module to release.
    """
    changes = {
        (name, half): trained.factors[name][half].double() - start.factors[name][half].double()
        for name in sorted(start.factors)
        for half in (0, 1)
    }
    norm = math.sqrt(sum(float(change.square().sum()) for change in changes.values()))
    factor = min(1.0, clip / norm) if norm else 1.0
    generator = torch.Generator().manual_seed(Seeds(seed).integer("noise"))
    released = {
        (name, half): start.factors[name][half]
        + change * factor
        + noise * clip * torch.randn(change.shape, generator=generator, dtype=torch.float64)
        for (name, half), change in changes.items()
    }
    factors = {name: (released[name, 0].float(), released[name, 1].float()) for name in start.factors}
    return replace(trained, factors=factors)
