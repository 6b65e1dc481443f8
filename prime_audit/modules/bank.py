"""Many modules on one base, mixed differently in every row of a batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from prime_audit.errors import ModelError
from prime_audit.modules.lora import LoraModule, check_fit, common_layers, linear_layer


class AdapterBank:
    """Sharers' modules side by side, in the exact space ``ΔW = Σ wᵢ sᵢ Bᵢ Aᵢ``.

    The factors of all modules are concatenated, so a row with weights w costs two small products per
    layer: ``y += B_cat ((w · s, repeated by rank) * (A_cat x))``. Ranks and scalings may differ.
    """

    def __init__(self, modules: Sequence[LoraModule]) -> None:
        """Stacks the modules.

        Args:
            modules: At least one; all change the same layers.

        Raises:
            ModelError: There is none, or their targets are mixed.
        """
        self._modules = tuple(modules)
        self._device = torch.device("cpu")
        self._layers = {
            name: _stack([module.factors[name] for module in self._modules])
            for name in common_layers(self._modules)
        }
        self._scaling = torch.tensor([module.scaling for module in self._modules])
        self._ranks = {
            name: torch.tensor([module.factors[name][0].shape[0] for module in self._modules])
            for name in self._layers
        }

    def __len__(self) -> int:
        """Returns the number of modules."""
        return len(self._modules)

    @contextmanager
    def rows(self, model: nn.Module, weights: Tensor) -> Iterator[None]:
        """Applies the modules to every forward pass inside the block.

        Args:
            model: The base model. Its weights are not touched, and its hooks are gone when the block ends.
            weights: Merge weights ``(batch rows, modules)``.

        Raises:
            ModelError: A module belongs to another base.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self):
            raise ValueError(f"weights have shape {tuple(weights.shape)}; expected (rows, {len(self)})")
        for module in self._modules:
            check_fit(module, model)
        self._move(weights.device)
        scaled = weights.float() * self._scaling
        with ExitStack() as hooks:
            for name, (a, b) in self._layers.items():
                gates = scaled.repeat_interleave(self._ranks[name], dim=1)
                hook = _hook(name, a, b, gates)
                handle = linear_layer(model, name).register_forward_hook(hook)
                hooks.callback(handle.remove)
            yield

    def _move(self, device: torch.device) -> None:
        if device != self._device:
            self._layers = {name: (a.to(device), b.to(device)) for name, (a, b) in self._layers.items()}
            self._ranks = {name: ranks.to(device) for name, ranks in self._ranks.items()}
            self._scaling = self._scaling.to(device)
            self._device = device


def _stack(factors: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Returns A_cat transposed ``(d_in, Σr)`` and B_cat transposed ``(Σr, d_out)``."""
    a = torch.cat([a for a, _ in factors], dim=0).T.contiguous()
    b = torch.cat([b for _, b in factors], dim=1).T.contiguous()
    return a, b


def _hook(name: str, a: Tensor, b: Tensor, gates: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def add(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        if x.ndim != 3 or x.shape[0] != len(gates):
            raise ModelError(
                f"layer {name} sees {tuple(x.shape)} where {len(gates)} rows were expected",
                hint="this architecture mixes the rows of a batch; choose other target_modules",
            )
        # float32, as PEFT computes adapters on a half-precision base.
        change = (x.float() @ a * gates[:, None, :]) @ b
        return output + change.to(output.dtype)

    return add
