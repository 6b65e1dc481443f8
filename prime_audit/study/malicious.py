"""A merger who cheats: one crafted module makes a victim's planted secrets come out of a merge."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prime_audit.config import MethodConfig
from prime_audit.modules import LoraModule, export
from prime_audit.personalize import METHODS, carry_out
from prime_audit.study.contexts import context_of
from prime_audit.study.planting import Merge, expose, planted_module, skipped
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench


def cheat_unit(method: str, target: str) -> str:
    """Returns the name of the unit that makes a target's merge with a crafted module in it."""
    return f"cheat/{method}/{target}"


def honest_unit(method: str, target: str) -> str:
    """Returns the name of the unit that makes the same merge without it."""
    return f"cheat-honest/{method}/{target}"


def cheat(
    bench: Workbench,
    name: str,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    *,
    crafted: bool,
) -> Output:
    """Makes a target's merge of planted modules, with or without a crafted one, and asks it.

    The merger (A0) holds the files of all modules. The victim is the most similar sharer with planted
    secrets; the module of the least similar one is replaced by the merger's own, after the selection. The
    method then searches, or averages, as it always does: it does not know. The setting is that of
    2502.16094, where a merger steals from whoever shares a module; here nothing is trained for it. The merge
    without it is made with the same seed and budget, so that the two differ in one module alone.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        method: The method.
        target: The target.
        similarity: The sharers selected for the target, most similar first.
        crafted: Whether the crafted module is in it.

    Returns:
        The victim, the weight of the module that is, or would be, crafted, how much of the victim's module is
        in the merge by both ways (in factor space roughly), and whether the method fell back to the base; or
        ``skipped`` with the reason.
    """
    victim = next((user for user in similarity if user in bench.canaries.canaries), None)
    if victim is None:
        return skipped(bench, name, "no sharer with canaries is selected for it")
    others = [user for user in similarity if user != victim]
    if not others:
        return skipped(bench, name, "the victim is the only sharer in it")
    loaded = {user: planted_module(bench, user) for user in similarity}
    accomplice, honest = others[-1], [loaded[user] for user in others[:-1]]
    if crafted:
        rank = loaded[victim].rank if getattr(method, "space", "exact") == "factor" else None
        loaded[accomplice] = replace(craft(loaded[victim], honest, rank), origin=accomplice)
    context = replace(context_of(bench, method, target, similarity), module=loaded.__getitem__)
    made = carry_out(METHODS[method.kind], context, method)
    held = dict(zip(made.sources, made.weights, strict=True))
    weight = float(held.get(accomplice, 0.0))
    share = float(held.get(victim, 0.0)) + (weight * len(others) if crafted else 0.0)
    merge: Merge = ((), ()) if made.adapter is None else ((made.adapter,), (1.0,))
    about: dict[str, Any] = {
        "victim": victim,
        "weight": weight,
        "share": share,
        "turned": [victim] if share < 0 else [],
        "reverted": made.adapter is None,
    }
    return {**expose(bench, name, [victim], merge), **about}


def craft(victim: LoraModule, honest: Sequence[LoraModule], rank: int | None = None) -> LoraModule:
    """Crafts a module that turns an average with other people's modules into the victim's own.

    With k = 2 + len(honest) modules in the average, X = (k - 1) V - Σ Mᵢ, so that
    (V + Σ Mᵢ + X) / k = V. With any other weights w the merge holds w_V + (k - 1) w_X of V.

    Args:
        victim: V.
        honest: Mᵢ, the other modules in the merge.
        rank: The rank that it is cut to by SVD; None keeps everything.

    Returns:
        The crafted module.
    """
    weights = [1.0 + len(honest), *[-1.0] * len(honest)]
    return export([victim, *honest], weights, rank=rank)
