"""Training of LoRA modules with PEFT, on a base that is left exactly as it was."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn

from prime_audit.config import TrainingConfig
from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, encode_all, fits_or_says
from prime_audit.models.forward import logits_of, pad, predicted_mask, states_of
from prime_audit.modules.lora import LoraModule, factors_from_state

_LARGEST_GRADIENT = 1.0


def adapt(lm: LanguageModel, examples: Sequence[Example], training: TrainingConfig, seed: int) -> LoraModule:
    """Adapts a model to a task: one module trained on public examples, meant for `merged_into`.

    Args:
        lm: The pretrained model.
        examples: Public examples of the task.
        training: Rank, learning rate, epochs and so on.
        seed: Decides initialisation and order.

    Returns:
        The module.

    Raises:
        ModelError: See `train_module`.
    """
    return train_module(lm, examples, training, seed)


def train_module(
    lm: LanguageModel, examples: Sequence[Example], training: TrainingConfig, seed: int
) -> LoraModule:
    """Trains one LoRA module: AdamW, clipped gradients, learning rate on a cosine from its value to zero.

    There is no dropout, no weight decay and no warm-up. The result depends on the arguments alone; the
    global random state and the base model's weights are the same afterwards.

    Args:
        lm: The base.
        examples: What to train on.
        training: Rank, alpha, learning rate, epochs, loss, batch size, target modules, longest sequence.
        seed: Decides initialisation and order.

    Returns:
        The module.

    Raises:
        ModelError: There are no examples, no target module exists in the base, or the loss stops being
            finite.
    """
    short, encoded = encode_for_training(lm, examples, training)
    with fresh_lora(short, training, seed) as wrapped:
        optimise(short, encoded, training, seed)
        return current_module(wrapped, training)


def encode_for_training(
    lm: LanguageModel, examples: Sequence[Example], training: TrainingConfig
) -> tuple[LanguageModel, list[Encoded]]:
    """Encodes what a module is trained on.

    Args:
        lm: The base.
        examples: What to train on.
        training: Its loss and its longest sequence are used.

    Returns:
        The base with the longest sequence of the training, and one encoding per example.

    Raises:
        ModelError: There are no examples.
    """
    if not examples:
        raise ModelError("a module cannot be trained on no examples", hint="give the user a longer history")
    short = replace(lm, max_tokens=min(lm.max_tokens, training.max_tokens))
    return short, encode_all(short, examples, training.loss)


def current_module(wrapped: PeftModel, training: TrainingConfig) -> LoraModule:
    """Copies the LoRA layers of `fresh_lora` as they are now.

    Args:
        wrapped: The model with its LoRA layers.
        training: Rank and alpha.

    Returns:
        The module.
    """
    factors = factors_from_state(get_peft_model_state_dict(wrapped), "trained module")
    return LoraModule(rank=training.rank, alpha=float(training.alpha), rslora=False, factors=factors)


@contextmanager
def fresh_lora(lm: LanguageModel, training: TrainingConfig, seed: int) -> Iterator[PeftModel]:
    """Puts fresh LoRA layers into the model and takes them out again, whatever happens.

    Args:
        lm: The base.
        training: Rank, alpha and target modules.
        seed: Decides the random half of the initialisation (A); the other half (B) is zero.

    Yields:
        The model with its LoRA layers, which alone are trainable.

    Raises:
        ModelError: No target module exists in the base.
    """
    # The probe must run on the bare model, and once.
    _ = lm.plain_head
    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,  # type: ignore[arg-type]  # PEFT computes with it as a float
        lora_dropout=0.0,
        target_modules=_targets(lm, training.target_modules),
        task_type="CAUSAL_LM",
    )
    devices = [torch.cuda.current_device()] if lm.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        wrapped = get_peft_model(lm.model, config)
    try:
        yield wrapped
    finally:
        wrapped.unload()


def _targets(lm: LanguageModel, names: Sequence[str]) -> list[str]:
    layers = [
        name
        for name, layer in lm.model.named_modules()
        if name.rpartition(".")[2] in names and isinstance(layer, nn.Linear)
    ]
    missing = sorted(set(names) - {name.rpartition(".")[2] for name in layers})
    if missing:
        present = {
            name.rpartition(".")[2]
            for name, layer in lm.model.named_modules()
            if isinstance(layer, nn.Linear)
        }
        raise ModelError(
            f"model {lm.name}: no linear layer is called {', '.join(missing)}",
            hint=f"training.target_modules can be any of: {', '.join(sorted(present))}",
        )
    return layers


# A batch is one step: halved, it would be another training. So it is only said what would fit.
TOO_LARGE = "set a smaller training.batch_size or training.max_tokens, or fewer run.workers"


@fits_or_says("a batch of the training", TOO_LARGE)
def optimise(
    lm: LanguageModel,
    encoded: Sequence[Encoded],
    training: TrainingConfig,
    seed: int,
    after_epoch: Callable[[int], bool] = lambda epoch: True,
) -> int:
    """Trains the layers of `fresh_lora` in place.

    Args:
        lm: The model with its LoRA layers.
        encoded: What to train on.
        training: Learning rate, epochs, batch size.
        seed: Decides the order.
        after_epoch: Told of every epoch, from 1; returns whether there is to be another.

    Returns:
        The number of epochs that were run.

    Raises:
        ModelError: The loss stops being finite, or memory does not hold a batch.
    """
    parameters = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=training.lr, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    steps = training.epochs * math.ceil(len(encoded) / training.batch_size)
    step = 0
    for epoch in range(1, training.epochs + 1):
        for batch in torch.split(torch.randperm(len(encoded), generator=order), training.batch_size):
            set_rate(optimiser, training, step, steps)
            loss = mean_loss(lm, [encoded[i] for i in batch.tolist()])
            step += 1
            descend(optimiser, loss, _LARGEST_GRADIENT, f"step {step} of {steps}", "training.lr")
        if not after_epoch(epoch):
            return epoch
    return training.epochs


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, largest: float, where: str, rate: str) -> None:
    """Takes one step with the gradient of a loss, clipped to a norm.

    Args:
        optimiser: The optimiser; what it holds is trained.
        loss: A scalar.
        largest: Largest norm of the whole gradient.
        where: Which step it is, for the message.
        rate: The setting that holds the learning rate, for the message.

    Raises:
        ModelError: The loss is not finite.
    """
    if not math.isfinite(loss.item()):
        raise ModelError(
            f"the training loss is not finite at {where}",
            hint=f"lower {rate}, or use model.dtype: float32",
        )
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_([one for group in optimiser.param_groups for one in group["params"]], largest)
    optimiser.step()


def set_rate(optimiser: torch.optim.Optimizer, training: TrainingConfig, step: int, steps: int) -> None:
    """Sets the learning rate of a step: a cosine from its full value to zero.

    Args:
        optimiser: The optimiser.
        training: Its learning rate is the first step's.
        step: The step, from 0.
        steps: How many there are.
    """
    for group in optimiser.param_groups:
        group["lr"] = training.lr * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def mean_loss(lm: LanguageModel, batch: Sequence[Encoded]) -> Tensor:
    """Returns the mean negative log-likelihood of a batch's scored tokens, with its gradient.

    Args:
        lm: The model, with whatever layers or hooks are being trained.
        batch: Encoded examples.

    Returns:
        A scalar, in nats per token.
    """
    ids, mask = pad(lm, [one.ids for one in batch])
    wanted = predicted_mask(lm, batch, ids.shape[1])
    states = states_of(lm, ids, mask)[:, :-1][wanted]
    return nn.functional.cross_entropy(logits_of(lm, states), ids[:, 1:][wanted])
