"""Per-Pcs (arXiv 2406.10471): an adapter assembled layer by layer from the sharers' factors.

A batch of the target's history runs through the model once. At every adapted layer its input is compared
with the sharers' gates, the best sharers' factors are averaged by the softmax of their scores, and the
layer runs with that average at once, so that later layers are chosen for what earlier ones made of the
input. Factors are averaged apart, ``A = Σ wᵢ Aᵢ`` and ``B = Σ wᵢ Bᵢ``, as published: the change holds
``wᵢ² sᵢ Bᵢ Aᵢ`` of every sharer and the cross terms ``wᵢ wⱼ Bᵢ Aⱼ``, which belong to nobody.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prime_audit.config import PerPcsMethod
from prime_audit.errors import ModelError
from prime_audit.models import Encoded, Example, LanguageModel, encode_all
from prime_audit.models.forward import pad, states_of
from prime_audit.modules import LoraModule, export
from prime_audit.modules.lora import check_fit, common_layers, linear_layer, root_scalings
from prime_audit.personalize.registry import register
from prime_audit.personalize.types import Personalisation, TargetContext


@dataclass(frozen=True)
class Pieces:
    """All sharers' share in one layer, on the model's device, float32.

    Attributes:
        a: Factors √sᵢ Aᵢ, ``(sharers, rank, d_in)``.
        b: Factors √sᵢ Bᵢ, ``(sharers, d_out, rank)``.
        gates: ``LN(gᵢ) / √d_in``, ``(sharers, d_in)``.
    """

    a: Tensor
    b: Tensor
    gates: Tensor

    def average(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns A ``(rank, d_in)`` and B ``(d_out, rank)``, averaged apart by weights ``(sharers,)``."""
        return torch.einsum("n,nri->ri", weights, self.a), torch.einsum("n,nor->or", weights, self.b)


@register(
    "per-pcs",
    settings=PerPcsMethod,
    family="merging",
    label="Per-Pcs",
    source="Per-Pcs, arXiv:2406.10471",
    needs_gates=True,
)
def per_pcs(context: TargetContext, settings: PerPcsMethod) -> Personalisation:
    """Assembles one adapter from the selected sharers' factors and deploys it.

    The factors of the batches are averaged at the end; as an average is linear in its weights, that is the
    average by the batches' mean weights w̄. The product is written anew by SVD, so no sharer's factors are
    stored as such. A sharer's weight is the mean over the layers of w̄², which is exactly how much of its
    own ``s B A`` the change holds.

    Args:
        context: The target, its selected sharers, their modules and their gates.
        settings: ``top_k`` sharers per layer, the softmax's temperature, and the items: the latest
            ``max_items``, ``batch_size`` at a time.

    Returns:
        The personalisation; notes hold the number of batches, and the entropy of the mean weights in nats
        (log of the number of sharers if the gates tell nothing apart).

    Raises:
        ModelError: The sharers' modules have other layers or ranks, or belong to another base.
    """
    items = context.latest(settings.max_items)
    if not items:
        reason = "the target's history holds no item to assemble from"
        return Personalisation(prompt=context.plain_prompt, reverted=True, reason=reason)
    pieces = load_pieces(context)
    past = context.task.past
    examples = [Example(past.prompt(item.input), past.completion(item.answer or "")) for item in items]
    encoded = encode_all(context.base, examples, "answer")
    batches = [encoded[i : i + settings.batch_size] for i in range(0, len(encoded), settings.batch_size)]
    chosen = [choose(context.base, batch, pieces, settings) for batch in batches]
    mean = {name: torch.stack([one[name] for one in chosen]).mean(dim=0) for name in pieces}
    held = torch.stack([weights.double().square() for weights in mean.values()]).mean(dim=0)
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=_adapter(pieces, mean),
        sources=context.sharers,
        weights=tuple(held.tolist()),
        notes={"batches": len(batches), "entropy": _entropy(mean)},
    )


def load_pieces(context: TargetContext) -> dict[str, Pieces]:
    """Loads the sharers' factors and gates, side by side for every layer.

    Args:
        context: The target's context.

    Returns:
        Pieces by layer, with every module's scaling folded into its factors.

    Raises:
        ModelError: There is no sharer, or the modules have other layers, ranks or another base.
    """
    if context.gates is None:
        raise ValueError("this context holds no gates")
    modules, device = context.modules(), context.base.device
    # Factors are averaged, so the ranks must be equal; each factor carries the root of its scaling.
    layers = common_layers(modules, same_rank=True)
    roots = root_scalings(modules)
    for module in modules:
        check_fit(module, context.base.model)
    gates = [context.gates(sharer) for sharer in context.sharers]
    pieces = {}
    for name in layers:
        scaled = [
            (root * module.factors[name][0], root * module.factors[name][1])
            for root, module in zip(roots, modules, strict=True)
        ]
        directions = torch.stack([gate[name].float() for gate in gates])
        pieces[name] = Pieces(
            a=torch.stack([a for a, _ in scaled]).to(device),
            b=torch.stack([b for _, b in scaled]).to(device),
            gates=(_normalised(directions) / math.sqrt(directions.shape[1])).to(device),
        )
    return pieces


@torch.no_grad()
def choose(
    lm: LanguageModel, batch: Sequence[Encoded], pieces: Mapping[str, Pieces], settings: PerPcsMethod
) -> dict[str, Tensor]:
    """Runs one batch through the model and weighs the sharers at every layer that it passes.

    Args:
        lm: The base; its hooks are gone afterwards.
        batch: Encoded history items; their answers' tokens are what the scores are averaged over.
        pieces: The sharers' factors and gates by layer.
        settings: ``top_k`` and ``temperature``.

    Returns:
        Weights ``(sharers,)`` by layer, on the CPU; they add up to 1.
    """
    # The probe must run on the bare model.
    _ = lm.plain_head
    ids, mask = pad(lm, [one.ids for one in batch])
    answers = torch.zeros_like(mask)
    for row, one in enumerate(batch):
        answers[row, : len(one.ids)] = torch.tensor(one.scored, device=mask.device)
    chosen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, piece in pieces.items():
            hook = _hook(name, piece, answers, settings, chosen)
            hooks.callback(linear_layer(lm.model, name).register_forward_hook(hook).remove)
        states_of(lm, ids, mask)
    return {name: weights.cpu() for name, weights in chosen.items()}


def weigh(inputs: Tensor, answers: Tensor, gates: Tensor, top_k: int, temperature: float) -> Tensor:
    """Turns a layer's input into weights: softmax over the best scores ``mean LN(h) · LN(gᵢ) / √d``.

    Args:
        inputs: The layer's input h, ``(rows, tokens, d)``.
        answers: Which tokens count, boolean ``(rows, tokens)``, at least one per row.
        gates: ``LN(gᵢ) / √d``, ``(sharers, d)``.
        top_k: How many sharers get a weight above zero.
        temperature: What scores are divided by.

    Returns:
        Weights ``(sharers,)``. The mean is over a row's answer tokens first and then over the rows. Equal
        scores keep the sharers' order, the most similar first.
    """
    per_token = (_normalised(inputs.float()) @ gates.T).masked_fill(~answers[..., None], 0.0)
    scores = (per_token.sum(dim=1) / answers.sum(dim=1, keepdim=True)).mean(dim=0)
    best = scores.argsort(descending=True, stable=True)[:top_k]
    weights = torch.zeros_like(scores)
    weights[best] = torch.softmax(scores[best] / temperature, dim=0)
    return weights


def _normalised(vectors: Tensor) -> Tensor:
    # torch's epsilon (1e-5) keeps a gate that hardly moved from zero close to zero: it says little.
    return nn.functional.layer_norm(vectors, vectors.shape[-1:])


def _hook(
    name: str, pieces: Pieces, answers: Tensor, settings: PerPcsMethod, chosen: dict[str, Tensor]
) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def add(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        if x.shape[:-1] != answers.shape:
            raise ModelError(
                f"layer {name} sees {tuple(x.shape)} where {tuple(answers.shape)} tokens were expected",
                hint="this architecture mixes the rows of a batch; choose other target_modules",
            )
        weights = weigh(x, answers, pieces.gates, settings.top_k, settings.temperature)
        chosen[name] = weights
        a, b = pieces.average(weights)
        return output + (x.float() @ a.T @ b.T).to(output.dtype)

    return add


def _adapter(pieces: Mapping[str, Pieces], weights: Mapping[str, Tensor]) -> LoraModule:
    factors = {}
    for name, piece in pieces.items():
        a, b = piece.average(weights[name].to(piece.a.device))
        factors[name] = (a.cpu(), b.cpu())
    rank = max(a.shape[0] for a, _ in factors.values())
    return export([LoraModule(rank=rank, alpha=float(rank), rslora=False, factors=factors)], [1.0])


def _entropy(weights: Mapping[str, Tensor]) -> float:
    """Returns the entropy of the mean weights over all layers, in nats."""
    mean = torch.stack(list(weights.values())).double().mean(dim=0)
    return round(float(torch.special.entr(mean).sum()), 10)
