"""Racing: candidates that cannot win any more are dropped before they have seen every item.

Source: Hoeffding races and their paired form (Maron and Moore 1994; Birattari et al. 2002): all candidates
meet the items in one order, and each is compared with the incumbent on the items both have seen.
"""

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import RacingConfig
from prime_audit.personalize.objective import Evaluation, Objective

Floats = NDArray[np.float64]


def race(
    objective: Objective,
    candidates: Floats,
    incumbent: Evaluation | None,
    settings: RacingConfig,
    order: NDArray[np.intp],
    alpha: float,
) -> list[Evaluation]:
    """Evaluates a generation block by block.

    Args:
        objective: What is maximised.
        candidates: Shape ``(m, dimensions)``.
        incumbent: The best candidate so far, measured on every item in ``order``; None drops nobody.
        settings: Number of blocks, and how far behind a candidate must be.
        order: The order in which items are met, for all generations the same.
        alpha: Weight of the privacy term.

    Returns:
        One evaluation per candidate; those that were dropped rest on fewer items.
    """
    blocks = np.array_split(order, min(settings.blocks, len(order)))
    found: list[Evaluation | None] = [None] * len(candidates)
    alive = list(range(len(candidates)))
    seen = 0
    for block in blocks:
        seen += len(block)
        for i, fresh in zip(alive, objective.evaluate(candidates[alive], block), strict=True):
            known = found[i]
            found[i] = fresh if known is None else known.joined(fresh)
        if incumbent is not None:
            best = incumbent.by_item(alpha)[:seen]
            alive = [i for i in alive if not _hopeless(found[i], best, settings.errors, alpha)]
        if not alive:
            break
    return [one for one in found if one is not None]


def _hopeless(candidate: Evaluation | None, best: Floats, errors: float, alpha: float) -> bool:
    """Whether the paired mean difference lies that many standard errors below zero."""
    if candidate is None or len(best) < 2:
        return False
    difference = candidate.by_item(alpha) - best
    error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
    return bool(difference.mean() + errors * error < 0)
