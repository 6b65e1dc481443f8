"""A sharer who poses: claims a history like the target's, so that their module is selected and merged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prime_audit.config import MethodConfig, PosingConfig
from prime_audit.modules import LoraModule, export
from prime_audit.personalize import METHODS, carry_out, nearest, predict_with
from prime_audit.study.contexts import context_of
from prime_audit.study.units import Output
from prime_audit.study.work import embedder_of, embeddings, open_to_selection
from prime_audit.study.workbench import Workbench
from prime_audit.utility import score

CLAIM = "claim"


def pose_unit(method: str, target: str) -> str:
    """Returns the name of the unit that makes a target's merge with the poser among the sharers."""
    return f"pose/{method}/{target}"


def claim(bench: Workbench) -> Output:
    """Lets the least similar sharer of each target claim some of the target's past items.

    The poser (A4) can read some of what the target was asked in the past, and the answers if the study says
    so, and embeds a history of these. The selection knows nothing of it and takes the nearest sharers as it
    always does.

    Args:
        bench: The workbench.

    Returns:
        By target the ``poser`` and the sharers ``selected`` under the claim, with their cosines.
    """
    settings = bench.config.audit.posing or PosingConfig()
    targets, sharers = embeddings(bench)
    embedder, found = embedder_of(bench), {}
    for target, vector in targets.items():
        poser = list(nearest({target: vector}, sharers, len(sharers))[target])[-1]
        known = bench.holdout.members(bench.dataset.user(target))[: settings.items]
        if settings.knows == "questions":
            known = tuple(replace(item, answer=None) for item in known)
        claimed = embedder(known)
        others = {**sharers, poser: claimed}
        pool = open_to_selection(bench, others)
        chosen = nearest({target: vector}, others, bench.config.sharers.per_target, pool)[target]
        found[target] = {"poser": poser, "selected": chosen}
    return found


def pose(bench: Workbench, method: MethodConfig, target: str, claimed: Mapping[str, Any]) -> Output:
    """Makes a target's merge with whoever is selected under the claim, and answers the target's queries.

    The method is carried out with the seed of the honest deployment. The poser's module is the one that they
    trained on their own history, `audit.posing.scale` times as large.

    Args:
        bench: The workbench.
        method: The method.
        target: The target.
        claimed: What `claim` found for it.

    Returns:
        Whether the poser was ``selected`` and, if so, the ``weight`` that the method gives their module,
        whether the method fell back to the base (``reverted``), and the ``primary`` utility of each query.
    """
    poser, similarity = str(claimed["poser"]), dict(claimed["selected"])
    if poser not in similarity:
        return {"selected": False}
    scale = (bench.config.audit.posing or PosingConfig()).scale

    def module(user: str) -> LoraModule:
        own = bench.module(user)
        if user != poser or scale == 1:
            return own
        return replace(export([own], [scale]), origin=user)

    context = replace(context_of(bench, method, target, similarity), module=module)
    made, user = carry_out(METHODS[method.kind], context, method), bench.dataset.user(target)
    prompts = [made.prompt(query) for query in user.queries]
    outputs = predict_with(bench.base, bench.dataset.task, prompts, made.adapter)
    scores = score(bench.dataset.task, outputs, [query.answer or "" for query in user.queries])
    return {
        "selected": True,
        "weight": float(dict(zip(made.sources, made.weights, strict=True)).get(poser, 0.0)),
        "reverted": made.adapter is None,
        "primary": [round(float(value), 10) for value in scores.per_item],
    }
