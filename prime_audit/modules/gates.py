"""Gates of a module: per layer a direction that says on which inputs the module is of use.

Source: Per-Pcs (arXiv 2406.10471), post-hoc gate training. The module is finished; every layer's LoRA input
x is scaled by ``sigmoid(x · g)``, one number per token, and nothing but the gates g is trained. Later a
target's own inputs are compared with the gates to choose among many sharers' layers.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from prime_audit.core import atomic_write_bytes, ran_out_of_memory
from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, encode_all, fits_or_says
from prime_audit.modules.lora import LoraModule, check_fit, linear_layer
from prime_audit.modules.training import descend, mean_loss

_FILE: Final = "gates.safetensors"
_LARGEST_GRADIENT: Final = 0.3


class GateSettings(Protocol):
    """What gate training reads of a method's settings."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        ...

    @property
    def lr(self) -> float:
        """Learning rate, constant."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        ...


def train_gates(
    lm: LanguageModel, module: LoraModule, examples: Sequence[Example], settings: GateSettings, seed: int
) -> dict[str, Tensor]:
    """Trains the gates of one finished module on the examples of its owner.

    Gates start at zero, where every token's LoRA input is halved. AdamW without weight decay, gradients
    clipped to a norm of 0.3, loss on the answer's tokens alone. Base and module are not touched, and the
    result depends on the arguments alone.

    Args:
        lm: The base that the module was trained on.
        module: The module.
        examples: What the module was trained on.
        settings: Steps, learning rate and batch size.
        seed: Decides the order of the examples.

    Returns:
        One gate ``(d_in,)`` per layer of the module, float32 on the CPU.

    Raises:
        ModelError: There are no examples, the module belongs to another base, or the loss or a gate stops
            being finite.
    """
    if not examples:
        raise ModelError("gates cannot be trained on no examples", hint="give the sharer a longer history")
    check_fit(module, lm.model)
    # The probe must run on the bare model.
    _ = lm.plain_head
    gates = {
        name: torch.zeros(a.shape[1], device=lm.device, requires_grad=True)
        for name, (a, _) in sorted(module.factors.items())
    }
    with gated(lm, module, gates):
        _optimise(lm, encode_all(lm, examples, "answer"), list(gates.values()), settings, seed)
    trained = {name: gate.detach().cpu() for name, gate in gates.items()}
    if not all(bool(gate.isfinite().all()) for gate in trained.values()):
        raise ModelError("the trained gates are not finite", hint="lower the lr of the method per-pcs")
    return trained


@contextmanager
def gated(lm: LanguageModel, module: LoraModule, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Applies a module with gated inputs to every forward pass inside the block.

    Args:
        lm: The base; its hooks are gone when the block ends.
        module: The module, whose change is ``s B A (x · sigmoid(x · g))`` per layer.
        gates: One gate ``(d_in,)`` per layer, on the model's device.
    """
    with ExitStack() as hooks:
        for name, (a, b) in module.factors.items():
            down, up = a.to(lm.device).T, module.scaling * b.to(lm.device).T
            layer = linear_layer(lm.model, name)
            hooks.callback(layer.register_forward_hook(_hook(gates[name], down, up)).remove)
        yield


def _hook(gate: Tensor, down: Tensor, up: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def add(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # float32, as PEFT computes adapters on a half-precision base.
        x = inputs[0].float()
        change = (x * torch.sigmoid(x @ gate)[..., None]) @ down @ up
        return output + change.to(output.dtype)

    return add


@fits_or_says("a batch of the gates' training", "set a smaller batch_size of per-pcs or training.max_tokens")
def _optimise(
    lm: LanguageModel, encoded: Sequence[Encoded], gates: list[Tensor], settings: GateSettings, seed: int
) -> None:
    optimiser = torch.optim.AdamW(gates, lr=settings.lr, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    rounds = math.ceil(settings.steps / math.ceil(len(encoded) / settings.batch_size))
    batches = [
        batch
        for _ in range(rounds)
        for batch in torch.split(torch.randperm(len(encoded), generator=order), settings.batch_size)
    ]
    for step, batch in enumerate(batches[: settings.steps]):
        loss = mean_loss(lm, [encoded[i] for i in batch.tolist()])
        where = f"step {step + 1} of {settings.steps} of the gates"
        descend(optimiser, loss, _LARGEST_GRADIENT, where, "the lr of the method per-pcs")


def write_gates(gates: Mapping[str, Tensor], folder: Path) -> None:
    """Writes gates as ``gates.safetensors``.

    Args:
        gates: One gate ``(d_in,)`` per layer.
        folder: An existing folder.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {name: gate.contiguous() for name, gate in gates.items()}
    atomic_write_bytes(folder / _FILE, save_tensors(state, metadata={"format": "pt"}))


def read_gates(folder: Path, module: LoraModule) -> dict[str, Tensor]:
    """Reads the gates of a module.

    Args:
        folder: Holds ``gates.safetensors``.
        module: The module that the gates were trained for.

    Returns:
        One gate ``(d_in,)`` per layer of the module, float32 on the CPU.

    Raises:
        ModelError: The file is missing or damaged, holds NaN or infinity, or its layers or widths are not
            the module's.
    """
    try:
        gates = load_tensors((folder / _FILE).read_bytes())
    except (SafetensorError, OSError) as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError(
            f"gates {folder}: {_FILE} cannot be read",
            hint="delete the folder; the next run trains the gates again",
        ) from error
    odd = sorted(set(gates) ^ set(module.factors))
    if odd:
        raise ModelError(
            f"gates {folder}: {len(odd)} layers have a gate or a LoRA factor, but not both, such as {odd[0]}",
            hint="use the gates that were trained for this module",
        )
    for name, (a, _) in module.factors.items():
        if gates[name].shape != a.shape[1:]:
            raise ModelError(
                f"gates {folder}: layer {name} has a gate of shape {tuple(gates[name].shape)} and "
                f"{a.shape[1]} inputs in the module",
                hint="use the gates that were trained for this module",
            )
        if not bool(gates[name].isfinite().all()):
            raise ModelError(
                f"gates {folder}: layer {name} holds NaN or infinity",
                hint="the training diverged or the file is damaged",
            )
    return {name: gates[name].float() for name in sorted(gates)}
