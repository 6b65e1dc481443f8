"""Sharer-level swap (design D3): the same target's merge made from one pool of sharers and from the other."""

from collections.abc import Sequence

import numpy as np

from attacks import Evidence, user_inference
from prime_audit.config import MethodConfig
from prime_audit.modules import LoraModule
from prime_audit.personalize import METHODS, carry_out, nearest
from prime_audit.study.contexts import context_of
from prime_audit.study.units import Output
from prime_audit.study.work import embeddings, score_adapter
from prime_audit.study.workbench import Workbench

POOLS = ("a", "b")


def select_pools(bench: Workbench) -> Output:
    """Selects each target's sharers from each pool by itself.

    Returns:
        ``a`` and ``b``: each target's sharers of that pool with their cosines, most similar first; the ranks
        of both are comparable, for a coin decided who is in which pool.
    """
    targets, sharers = embeddings(bench)
    count = bench.config.sharers.per_target
    return {
        name: nearest(targets, sharers, count, list(pool))
        for name, pool in zip(POOLS, bench.pools.pools, strict=True)
    }


def pool_merges(bench: Workbench, method: MethodConfig, target: str, selected: Output) -> Output:
    """Merges each pool for one target and asks both merges about the sharers of both.

    The score of a sharer is the user inference of arXiv 2310.09266: the mean over records of the
    log-probability under the merge minus that under the base; over held-out records alone, so that nothing
    but the sharer's style and content can give it away, and over members beside it.

    Args:
        bench: The workbench.
        method: The merging method.
        target: The target.
        selected: Output of `select_pools`.

    Returns:
        Per sharer and rank: its score where its own pool is merged and where the other one is, in nats, and
        the weight of its module in the former.
    """
    modules: dict[str, list[LoraModule]] = {}
    weights: dict[str, float] = {}
    for name in POOLS:
        context = context_of(bench, method, target, selected[name][target])
        deployed = carry_out(METHODS[method.kind], context, method)
        modules[name] = [] if deployed.adapter is None else [deployed.adapter]
        weights |= dict(zip(deployed.sources, map(float, deployed.weights), strict=True))
    found = []
    for name, other in zip(POOLS, reversed(POOLS), strict=True):
        for rank, sharer in enumerate(selected[name][target]):
            merged = _user_scores(bench, sharer, modules[name])
            apart = _user_scores(bench, sharer, modules[other])
            found += [
                {
                    "sharer": sharer,
                    "rank": rank,
                    "weight": weights.get(sharer, 0.0),
                    "records": records,
                    "merged": merged[records],
                    "apart": apart[records],
                }
                for records in merged
            ]
    return {"scores": found}


def _user_scores(bench: Workbench, sharer: str, modules: Sequence[LoraModule]) -> dict[str, float]:
    """The sharer's user-inference score, in nats, over each kind of records that there are."""
    scores = score_adapter(bench, [sharer], modules, np.ones(len(modules)))
    evidence = Evidence(scores, bench.evidence(f"score/base/{sharer}"))
    member = bench.member(sharer)
    kinds = {"held-out": np.flatnonzero(~member), "members": np.flatnonzero(member)}
    return {
        kind: float(user_inference(evidence.take(places), [sharer] * len(places))[sharer])
        for kind, places in kinds.items()
        if len(places)
    }
