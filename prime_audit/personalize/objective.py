"""PriME's objective: the target's task metric minus a penalty for resembling the sharers.

Source: PriME (EMNLP 2025), section 3: maximise ``U(w) - alpha * S(w)``. U is the registry's normalised
utility of the merged model on the target's history; S is the mean agreement of its outputs with each
sharer's own outputs on the same prompts. Neither depends on alpha.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prime_audit.data import Item
from prime_audit.models import predict
from prime_audit.modules import AdapterBank
from prime_audit.personalize.types import SearchPoint, TargetContext
from prime_audit.utility import agreement, score


class Objective:
    """U and S of candidate merges on one part of a target's history.

    Every candidate is a row weighting of the same modules, so a whole generation shares its batches.
    """

    def __init__(self, context: TargetContext, bank: AdapterBank, items: Sequence[Item], part: str) -> None:
        """Predicts the part once per sharer alone, which S compares with.

        Args:
            context: The target's context.
            bank: The selected sharers' modules.
            items: The items of this part; each has an answer.
            part: ``search`` or ``selection``.
        """
        self._context = context
        self._bank = bank
        self._part = part
        self._prompts = [context.plain_prompt(item) for item in items]
        self._golds = [item.answer or "" for item in items]
        self._sharers = self._outputs(np.eye(len(context.sharers)))

    def points(self, candidates: NDArray[np.float64]) -> list[SearchPoint]:
        """Evaluates candidates.

        Args:
            candidates: Shape ``(m, n_sharers)``.

        Returns:
            One point per candidate, in order.
        """
        evaluated = []
        for weights, outputs in zip(candidates, self._outputs(candidates), strict=True):
            utility = score(self._context.task, outputs, self._golds).primary
            likeness = [agreement(self._context.task, outputs, other).mean() for other in self._sharers]
            evaluated.append(
                SearchPoint(
                    weights=tuple(float(w) for w in weights),
                    utility=float(utility),
                    similarity=float(np.mean(likeness)),
                    part=self._part,
                )
            )
        return evaluated

    def _outputs(self, candidates: NDArray[np.float64]) -> list[list[str]]:
        count = len(self._prompts)
        rows = np.repeat(candidates, count, axis=0)
        prompts = self._prompts * len(candidates)
        flat = predict(self._context.base, self._context.task, prompts, adapters=self._bank, weights=rows)
        return [flat[i * count : (i + 1) * count] for i in range(len(candidates))]


def value(point: SearchPoint, alpha: float) -> float:
    """Returns ``U - alpha * S`` of an evaluated point."""
    return point.utility - alpha * point.similarity
