"""Many modules on one base, mixed differently in every row of a batch."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prime_audit.config.methods import Space
from prime_audit.errors import ModelError
from prime_audit.modules.lora import (
    Factors,
    LoraModule,
    check_fit,
    common_layers,
    linear_layer,
    root_scalings,
)

_Mode = Literal["sum", "exact", "factor"]


@dataclass(frozen=True)
class _Stack:
    """One layer's factors of all modules, their scalings already in them.

    Attributes:
        a: A_cat transposed ``(d_in, Σr)``.
        b: B_cat transposed ``(Σr, d_out)``.
        ranks: Every module's rank in this layer; they add up to Σr.
    """

    a: Tensor
    b: Tensor
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class _Place:
    """Where a layer hangs in a model; a layer that was replaced since is noticed."""

    layer: nn.Linear
    parent: nn.Module
    leaf: str

    def holds(self) -> bool:
        return self.parent._modules.get(self.leaf) is self.layer


class AdapterBank:
    """Sharers' modules side by side; every row of a batch weights them in its own way.

    The factors of all modules are concatenated, so that whatever the number of rows with weights of their
    own, a layer costs two small products. With s the scalings and w a row's weights:

    - ``exact``: ``ΔW = Σ wᵢ sᵢ Bᵢ Aᵢ``, computed as ``y += B_cat ((w · s, repeated by rank) * (A_cat x))``.
      Ranks may differ.
    - ``factor``: ``ΔW = (Σ wᵢ √sᵢ Bᵢ)(Σ wᵢ √sᵢ Aᵢ)``, as PriME, LoRAHub and Per-Pcs merge, computed as
      ``u = Σ wⱼ √sⱼ Aⱼ x`` and ``y += B_cat (w · √s ⊗ u)``. It is even in w and holds the cross terms
      ``wᵢ wⱼ √(sᵢ sⱼ) Bᵢ Aⱼ``; one module alone comes with w². Ranks must be equal.

    Source: PriME's published code for ``factor``; batching as in EGGROLL (arXiv 2511.16652).
    """

    def __init__(self, modules: Sequence[LoraModule], space: Space = "exact") -> None:
        """Stacks the modules.

        Args:
            modules: At least one; all change the same layers.
            space: ``exact`` or ``factor``.

        Raises:
            ModelError: There is none, their targets or shapes differ, or in ``factor`` space their ranks
                differ or a scaling is negative.
        """
        self._modules = tuple(modules)
        self._space = space
        names = common_layers(self._modules, same_rank=space == "factor")
        ones = [1.0] * len(self._modules)
        before, after = (ones, [module.scaling for module in self._modules])
        if space == "factor":
            before = after = root_scalings(self._modules)
        self._stacks = {
            name: _stack([module.factors[name] for module in self._modules], before, after) for name in names
        }
        self._places: tuple[weakref.ref[nn.Module], dict[str, _Place]] | None = None
        self._device = torch.device("cpu")
        self._columns: dict[tuple[int, ...], Tensor] = {}

    def __len__(self) -> int:
        """Returns the number of modules."""
        return len(self._modules)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the modules change, in the model's order; weights per layer follow it."""
        return tuple(self._stacks)

    @contextmanager
    def rows(self, model: nn.Module, weights: Tensor) -> Iterator[None]:
        """Applies the modules to every forward pass inside the block.

        Args:
            model: The base model. Its weights are not touched, and its hooks are gone when the block ends.
            weights: Merge weights ``(batch rows, modules)``, or ``(batch rows, modules, layers)`` in the
                order of `layers`.

        Raises:
            ModelError: A module belongs to another base.
        """
        wanted = (len(self), len(self._stacks))
        if weights.ndim not in (2, 3) or tuple(weights.shape[1:]) != wanted[: weights.ndim - 1]:
            raise ValueError(
                f"weights have shape {tuple(weights.shape)}; expected (rows, {wanted[0]}) or "
                f"(rows, {wanted[0]}, {wanted[1]})"
            )
        self._move(weights.device)
        places = self._found_in(model)
        per_layer = weights.float()[None] if weights.ndim == 2 else weights.float().permute(2, 0, 1)
        mode: _Mode = self._space
        # A deployed adapter: w = 1 scales nothing, in either space.
        if len(self) == 1 and bool((weights == 1).all()):
            mode = "sum"
        gates = per_layer if mode != "exact" else self._repeated(per_layer)
        with ExitStack() as hooks:
            for position, (name, stack) in enumerate(self._stacks.items()):
                of_rank = gates[stack.ranks] if isinstance(gates, dict) else gates
                gate = of_rank[position if len(of_rank) > 1 else 0]
                handle = places[name].layer.register_forward_hook(_hook(name, stack, gate, mode))
                hooks.callback(handle.remove)
            yield

    def _repeated(self, weights: Tensor) -> dict[tuple[int, ...], Tensor]:
        """Repeats every module's weight by its rank: once per pattern of ranks, not once per layer."""
        return {ranks: weights.index_select(2, columns) for ranks, columns in self._columns.items()}

    def _found_in(self, model: nn.Module) -> dict[str, _Place]:
        # Decoding enters `rows` once per token: the layers are looked up and checked once per model.
        if self._places is not None:
            known, places = self._places
            if known() is model and all(place.holds() for place in places.values()):
                return places
        for module in self._modules:
            check_fit(module, model)
        places = {}
        for name in self._stacks:
            parent, _, leaf = name.rpartition(".")
            places[name] = _Place(linear_layer(model, name), model.get_submodule(parent), leaf)
        self._places = (weakref.ref(model), places)
        return places

    def _move(self, device: torch.device) -> None:
        if device != self._device or not self._columns:
            self._stacks = {
                name: _Stack(stack.a.to(device), stack.b.to(device), stack.ranks)
                for name, stack in self._stacks.items()
            }
            self._columns = {
                ranks: torch.repeat_interleave(torch.tensor(ranks)).to(device)
                for ranks in {stack.ranks for stack in self._stacks.values()}
            }
            self._device = device


def _stack(factors: Sequence[Factors], before: Sequence[float], after: Sequence[float]) -> _Stack:
    """Concatenates one layer's factors, each A times ``before`` and each B times ``after``."""
    a = torch.cat([scale * a for scale, (a, _) in zip(before, factors, strict=True)], dim=0)
    b = torch.cat([scale * b for scale, (_, b) in zip(after, factors, strict=True)], dim=1)
    return _Stack(a.T.contiguous(), b.T.contiguous(), tuple(len(a) for a, _ in factors))


def _hook(
    name: str, stack: _Stack, gate: Tensor, mode: _Mode
) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def add(_layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        x: Tensor = inputs[0]
        if x.ndim != 3 or x.shape[0] != len(gate):
            raise ModelError(
                f"layer {name} sees {tuple(x.shape)} where {len(gate)} rows were expected",
                hint="this architecture mixes the rows of a batch; choose other target_modules",
            )
        # float32, as PEFT computes adapters on a half-precision base.
        inner = x.float() @ stack.a
        if mode == "exact":
            inner = inner * gate[:, None]
        elif mode == "factor":
            weights = gate[:, None, :, None]
            by_module = inner.reshape(*inner.shape[:2], gate.shape[1], -1)
            inner = ((by_module * weights).sum(dim=2, keepdim=True) * weights).flatten(2)
        return _plus(output, inner, stack.b)

    return add


def _plus(output: Tensor, inner: Tensor, b: Tensor) -> Tensor:
    """Returns ``output + inner @ b``; without gradients it is added where the output lies."""
    if output.dtype != b.dtype:
        return output + (inner @ b).to(output.dtype)
    if torch.is_grad_enabled() or not output.is_contiguous():
        return torch.addmm(output.flatten(0, 1), inner.flatten(0, 1), b).view_as(output)
    output.flatten(0, 1).addmm_(inner.flatten(0, 1), b)
    return output
