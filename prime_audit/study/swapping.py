"""Matched swaps of a record (design D2): what one record changes in a module, and in the merge of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import MethodConfig
from prime_audit.data import Item
from prime_audit.models import score_tokens
from prime_audit.modules import (
    AdapterBank,
    LoraModule,
    is_weighted_sum,
    read_module,
)
from prime_audit.personalize import METHODS, carry_out
from prime_audit.study.contexts import context_of
from prime_audit.study.units import Output
from prime_audit.study.work import train_alike, trained_alike
from prime_audit.study.workbench import Workbench

Weights = Literal["frozen", "remade", "own"]
Merge = tuple[Sequence[LoraModule], Sequence[float]]


def swap_unit(user: str, index: int) -> str:
    """Returns the name of the unit that trains a module with one record swapped."""
    return f"swap/{user}/{index}"


def train_swapped(bench: Workbench, user: str, index: int) -> Output:
    """Trains the module of a sharer once more, alike in seed, order and steps, with one record swapped."""
    items = bench.swaps.members(bench.dataset.user(user), index)
    # The seed of the audited module: the two differ in the record alone.
    return train_alike(bench, swap_unit(user, index), items, bench.training_seeds.integer("train", user))


def swap_own(bench: Workbench, user: str) -> Output:
    """Compares the sharer's own module with the swapped ones, unmerged."""
    found = []
    for index in range(len(bench.swaps.swaps[user])):
        with_record: Merge = ((bench.module(user),), (1.0,))
        without: Merge = ((_swapped(bench, user, index),), (1.0,))
        found.append(_gap(bench, user, index, "own", 1.0, with_record, without))
    return {"gaps": found}


def swap_merge(
    bench: Workbench, method: MethodConfig, target: str, deployed: Output, similarity: Mapping[str, float]
) -> Output:
    """Compares a deployed merge with the same merge of modules with one record swapped.

    The weights stay as they were (`frozen`: what the module remembers), and the method is run again on the
    swapped module (`remade`: what the choice of weights adds).

    Args:
        bench: The workbench.
        method: The audited method.
        target: The target that it is deployed for.
        deployed: Output of the unit that deployed.
        similarity: The sharers selected for the target, with their cosines.

    Returns:
        ``gaps``: per swap, in nats per token, how much likelier the record is under the merge that holds it,
        for the member and for the record that takes its place, with the weight of the sharer's module.
    """
    found = []
    weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    now: Merge = ((), ())
    if deployed["adapter"] is not None:
        now = ((read_module(bench.adapter_path(method.id, target)),), (1.0,))
    for user in similarity:
        weight = float(weights.get(user, 0.0))
        for index in range(len(bench.swaps.swaps[user])):
            frozen = _frozen(bench, deployed, now, user, index)
            if frozen is not None:
                found.append(_gap(bench, user, index, "frozen", weight, now, frozen))
            remade = _remade(bench, method, target, similarity, user, index)
            found.append(_gap(bench, user, index, "remade", weight, now, remade))
    return {"gaps": found}


def _swapped(bench: Workbench, user: str, index: int) -> LoraModule:
    return trained_alike(bench, swap_unit(user, index), user)


def _frozen(bench: Workbench, deployed: Output, now: Merge, user: str, index: int) -> Merge | None:
    """The deployed merge with one module exchanged; None where it is no weighted sum of the modules."""
    if deployed["adapter"] is None:
        return (), ()
    sources, weights = deployed["sources"], deployed["weights"]
    if not is_weighted_sum(now[0][0], [bench.module(source) for source in sources], weights):
        return None
    return [
        _swapped(bench, user, index) if source == user else bench.module(source) for source in sources
    ], weights


def _remade(
    bench: Workbench,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    user: str,
    index: int,
) -> Merge:
    loaded = {other: bench.module(other) for other in similarity} | {user: _swapped(bench, user, index)}
    context = replace(context_of(bench, method, target, similarity), module=loaded.__getitem__)
    adapter = carry_out(METHODS[method.kind], context, method).adapter
    return ((), ()) if adapter is None else ((adapter,), (1.0,))


def _gap(
    bench: Workbench, user: str, index: int, weights: Weights, weight: float, now: Merge, swapped: Merge
) -> dict[str, object]:
    history = bench.dataset.user(user).history
    swap = bench.swaps.swaps[user][index]
    records = (history[swap.member], history[swap.nonmember])
    change = _score(bench, records, now) - _score(bench, records, swapped)
    return {
        "sharer": user,
        "swap": index,
        "weights": weights,
        "weight": weight,
        "member": float(change[0]),
        "nonmember": float(-change[1]),
    }


def _score(bench: Workbench, records: Sequence[Item], merge: Merge) -> NDArray[np.float64]:
    modules, weights = merge
    return score_tokens(
        bench.base,
        [bench.example(item) for item in records],
        loss=bench.config.training.loss,
        adapters=AdapterBank(modules) if modules else None,
        weights=np.tile(np.asarray(weights, dtype=np.float64), (len(records), 1)) if modules else None,
        remap=bench.token_numbers,
    ).mean()
