"""One LoRA module: the factors of a low-rank change of some linear layers."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from prime_audit.core import digest_bytes, digest_json
from prime_audit.errors import ModelError

# A (rank, d_in) and B (d_out, rank).
Factors = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LoraModule:
    """A LoRA adapter: every target layer changes by ``ΔW = scaling · B · A``.

    Attributes:
        rank: Nominal rank r, from which the scaling follows. A layer's own factors may have another rank.
        alpha: LoRA's alpha.
        rslora: Whether the scaling is ``alpha / sqrt(r)`` (rank-stabilised) instead of ``alpha / r``.
        factors: By the layer's name in the base model: A ``(rank, d_in)`` and B ``(d_out, rank)``, float32
            on the CPU.
        origin: Where the module comes from (its folder), for messages; no part of its identity.

    Source: LoRA (arXiv 2106.09685), rsLoRA (arXiv 2312.03732).
    """

    rank: int
    alpha: float
    rslora: bool
    factors: Mapping[str, Factors]
    origin: str = field(default="", compare=False)

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

    @property
    def bytes(self) -> int:
        """Size of all factors as they are stored, in bytes."""
        return sum(part.numel() * part.element_size() for pair in self.factors.values() for part in pair)

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


def common_layers(modules: Sequence[LoraModule], *, same_rank: bool = False) -> list[str]:
    """Returns the layers that all modules change.

    Args:
        modules: At least one module.
        same_rank: Whether a layer's rank must be the same in all modules.

    Returns:
        Layer names in natural order (layer 2 before layer 10), which follows the model's depth.

    Raises:
        ModelError: There is no module, or two of them change different layers, have different shapes in
            one, or have different ranks although ``same_rank``; both are named.
    """
    if not modules:
        raise ModelError("there is no module to merge", hint="select at least one sharer")
    layers = sorted(modules[0].factors, key=_natural)
    for position, module in enumerate(modules):
        pair = f"modules {modules[0].origin or 0} and {module.origin or position}"
        odd = sorted(set(layers) ^ set(module.factors), key=_natural)
        if odd:
            raise ModelError(
                f"{pair} have mixed targets: {len(odd)} layers are in one of them only, such as {odd[0]}",
                hint="merge modules that were trained with the same target_modules",
            )
        for name in layers:
            _check_pair(pair, name, modules[0].factors[name], module.factors[name], same_rank)
    return layers


def _check_pair(pair: str, name: str, first: Factors, second: Factors, same_rank: bool) -> None:
    shapes = [_shape((b.shape[0], a.shape[1])) for a, b in (first, second)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"{pair} are for different bases: "
            f"layer {name} is {shapes[0]} in one and {shapes[1]} in the other",
            hint="merge modules that were trained on the same base model",
        )
    ranks = [len(a) for a, _ in (first, second)]
    if same_rank and ranks[0] != ranks[1]:
        raise ModelError(
            f"{pair} have ranks {ranks[0]} and {ranks[1]} in layer {name}; "
            "factors of different ranks cannot be added",
            hint="merge in the exact space, or use modules of one rank",
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers inside a name by value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def root_scalings(modules: Sequence[LoraModule]) -> list[float]:
    """Returns √s of every module: the share of its scaling that each of its factors carries.

    Args:
        modules: The modules.

    Returns:
        One root per module.

    Raises:
        ModelError: A scaling is negative.
    """
    for position, module in enumerate(modules):
        if module.scaling < 0:
            raise ModelError(
                f"module {module.origin or position} has the negative scaling {module.scaling:g}, "
                "which has no root",
                hint="merge in the exact space",
            )
    return [math.sqrt(module.scaling) for module in modules]


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


def low_rank_hook(
    a: Tensor, b: Tensor, scaling: float
) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    """Returns a forward hook that adds ``scaling · B A x`` to what a linear layer returns.

    Args:
        a: A ``(r, d_in)``, on the layer's device.
        b: B ``(d_out, r)``, likewise.
        scaling: The module's scaling.

    Returns:
        The hook. It computes in float32, as PEFT computes adapters on a half-precision base.
    """

    def add(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        x: Tensor = inputs[0]
        return output + (scaling * ((x.float() @ a.T) @ b.T)).to(output.dtype)

    return add


def check_fit(module: LoraModule, model: nn.Module) -> None:
    """Checks that a module belongs to a base model.

    Args:
        module: The module.
        model: The base model.

    Raises:
        ModelError: A layer is missing or has another shape; the module and both shapes are named.
    """
    for name, (a, b) in module.factors.items():
        try:
            layer = linear_layer(model, name)
        except ModelError as error:
            raise ModelError(f"{_named(module)}{error}", hint=error.hint) from error
        wanted, found = (layer.out_features, layer.in_features), (b.shape[0], a.shape[1])
        if wanted != found:
            raise ModelError(
                f"{_named(module)}the module is for another base: layer {name} is {_shape(wanted)} in the "
                f"model and {_shape(found)} in the module",
                hint="use the base model that the module was trained on",
            )


def _named(module: LoraModule) -> str:
    return f"module {module.origin}: " if module.origin else ""


def _shape(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def layer_of(key: str) -> str:
    """Returns the layer of a tensor in a state dict in PEFT's naming; empty if it is no factor."""
    return key.removeprefix("base_model.model.").rpartition(".lora_")[0]


def factors_from_state(state: Mapping[str, Tensor], where: str) -> dict[str, Factors]:
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
        layer, kind = layer_of(key), key.rpartition(".lora_")[2]
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
