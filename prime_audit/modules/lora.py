"""One LoRA module: the factors of a low-rank change of some linear layers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from prime_audit.core import digest_bytes, digest_json
from prime_audit.errors import ModelError


@dataclass(frozen=True)
class LoraModule:
    """A LoRA adapter: every target layer changes by ``ΔW = scaling · B · A``.

    Attributes:
        rank: Nominal rank r, from which the scaling follows. A layer's own factors may have another rank.
        alpha: LoRA's alpha.
        rslora: Whether the scaling is ``alpha / sqrt(r)`` (rank-stabilised) instead of ``alpha / r``.
        factors: By the layer's name in the base model: A ``(rank, d_in)`` and B ``(d_out, rank)``, float32
            on the CPU.

    Source: LoRA (arXiv 2106.09685), rsLoRA (arXiv 2312.03732).
    """

    rank: int
    alpha: float
    rslora: bool
    factors: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def scaling(self) -> float:
        """The factor in front of ``B · A``, the same for every layer."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over scaling parameters, layer names, shapes and values."""
        return digest_json(
            [
                [self.rank, float(self.alpha), self.rslora],
                [[name, *map(_tensor_digest, self.factors[name])] for name in sorted(self.factors)],
            ]
        )

    def norm(self) -> float:
        """Returns the Frobenius norm of ΔW over all layers, without forming ΔW."""
        # ||BA||² = tr(A' B'B A) = sum of the elementwise product of B'B and AA'.
        squares = (
            ((b.double().T @ b.double()) * (a.double() @ a.double().T)).sum().item()
            for a, b in self.factors.values()
        )
        return abs(self.scaling) * math.sqrt(max(0.0, sum(squares)))


def _tensor_digest(tensor: Tensor) -> list[object]:
    return [list(tensor.shape), digest_bytes(tensor.detach().cpu().contiguous().numpy().tobytes())]


def common_layers(modules: Sequence[LoraModule]) -> list[str]:
    """Returns the layers that all modules change.

    Args:
        modules: At least one module.

    Returns:
        Layer names, sorted.

    Raises:
        ModelError: There is no module, or the modules change different layers.
    """
    if not modules:
        raise ModelError("there is no module to merge", hint="select at least one sharer")
    layers = set(modules[0].factors)
    for position, module in enumerate(modules):
        odd = sorted(layers ^ set(module.factors))
        if odd:
            raise ModelError(
                f"modules 0 and {position} have mixed targets: {len(odd)} layers are in one of them only, "
                f"such as {odd[0]}",
                hint="merge modules that were trained with the same target_modules",
            )
    return sorted(layers)


def linear_layer(model: nn.Module, name: str) -> nn.Linear:
    """Finds the linear layer that a module changes.

    Args:
        model: The base model.
        name: The layer's name.

    Returns:
        The layer.

    Raises:
        ModelError: The model has no such layer, or it is no ``nn.Linear``.
    """
    try:
        layer = model.get_submodule(name)
    except AttributeError as error:
        raise ModelError(
            f"the module is for another base: the model has no layer {name}",
            hint="use the base model that the module was trained on",
        ) from error
    if not isinstance(layer, nn.Linear):
        raise ModelError(
            f"layer {name} is a {type(layer).__name__}, not a linear layer",
            hint="choose other target_modules",
        )
    return layer


def check_fit(module: LoraModule, model: nn.Module) -> None:
    """Checks that a module belongs to a base model.

    Args:
        module: The module.
        model: The base model.

    Raises:
        ModelError: A layer is missing or has another shape; both shapes are named.
    """
    for name, (a, b) in module.factors.items():
        layer = linear_layer(model, name)
        wanted, found = (layer.out_features, layer.in_features), (b.shape[0], a.shape[1])
        if wanted != found:
            raise ModelError(
                f"the module is for another base: layer {name} is {_shape(wanted)} in the model and "
                f"{_shape(found)} in the module",
                hint="use the base model that the module was trained on",
            )


def _shape(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def factors_from_state(state: Mapping[str, Tensor], where: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs the factors of a state dict in PEFT's naming.

    Args:
        state: Tensors named ``base_model.model.<layer>.lora_A.weight`` and ``...lora_B.weight``.
        where: The origin, for messages.

    Returns:
        Factors per layer, float32 on the CPU.

    Raises:
        ModelError: A tensor is neither factor, lacks its partner, or does not fit it.
    """
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        layer, _, kind = key.removeprefix("base_model.model.").rpartition(".lora_")
        if not layer or kind not in ("A.weight", "B.weight"):
            raise ModelError(
                f"{where}: {key} is no plain LoRA factor", hint="only plain LoRA adapters are read"
            )
        halves.setdefault(layer, {})[kind[0]] = tensor.detach().to("cpu", torch.float32).clone()
    for layer, pair in halves.items():
        if len(pair) != 2:
            raise ModelError(
                f"{where}: layer {layer} has only lora_{next(iter(pair))}", hint="the file is incomplete"
            )
        a, b = pair["A"], pair["B"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
            raise ModelError(f"{where}: layer {layer}: A {tuple(a.shape)} and B {tuple(b.shape)} do not fit")
    if not halves:
        raise ModelError(f"{where}: holds no LoRA factor", hint="the file is empty or of another kind")
    return {layer: (pair["A"], pair["B"]) for layer, pair in sorted(halves.items())}
