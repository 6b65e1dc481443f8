"""The control ``without-sharer``: a target's merge made again without the sharer that is attacked.

Whatever an attack finds there about the sharer's records was not learnt from the sharer's module: it is the
counterfactual that leakage is measured against. The merge is made anew, so a search optimises again. It is
no alarm: a sharer is selected because the members resemble the target, so that members may stand out a
little in whatever fits the target.
"""

import numpy as np

from attacks import TokenScores
from prime_audit.config import MethodConfig
from prime_audit.personalize import METHODS, carry_out
from prime_audit.study.contexts import context_of
from prime_audit.study.units import Output
from prime_audit.study.work import score_adapter
from prime_audit.study.workbench import Workbench


def score_without(
    bench: Workbench, name: str, method: MethodConfig, target: str, similarity: dict[str, float]
) -> Output:
    """Scores each selected sharer's records with a merge that the sharer had no part in.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        method: The method that is made again, with the same seeds.
        target: The target.
        similarity: The sharers selected for the target, with their cosines.

    Returns:
        Number of records, and for which sharers the method fell back to the base.
    """
    parts, reverted = [], []
    for sharer in similarity:
        others = {other: cosine for other, cosine in similarity.items() if other != sharer}
        context = context_of(bench, method, target, others)
        deployed = carry_out(METHODS[method.kind], context, method)
        if deployed.adapter is None:
            reverted.append(sharer)
            parts.append(bench.evidence(f"score/base/{sharer}"))
        else:
            parts.append(score_adapter(bench, [sharer], [deployed.adapter], np.ones(1)))
    scores = TokenScores.concat(parts)
    bench.save_evidence(name, scores)
    return {"records": len(scores), "reverted": reverted}
