"""LoRAHub (arXiv:2307.13269): gradient-free search for weights that lower the loss on a few examples."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import LoraHubMethod
from prime_audit.personalize.answers import Panel, Wanted
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.registry import register
from prime_audit.personalize.search import SearchSettings, minimise
from prime_audit.personalize.search_log import Figures
from prime_audit.personalize.types import CHECK, Personalisation, SearchPoint, TargetContext

Floats = NDArray[np.float64]
# The published step: nevergrad's own, a sixth of the box.
STEP = 1 / 6


@register("lorahub", settings=LoraHubMethod, family="merging", label="LoRAHub", source="arXiv:2307.13269")
def lorahub(context: TargetContext, settings: LoraHubMethod) -> Personalisation:
    """Searches weights for ``loss + l1 * mean |w|`` and deploys the optimiser's recommendation.

    The loss is the mean negative log-likelihood of the right answers in nats per token (of a label, among
    the labels). It searches the sharers that were selected for the target, as every merging method here
    does, where the paper draws 20 modules at random. A point of the record has U = minus the loss and
    S = mean |w|.

    Args:
        context: The target, its selected sharers and their modules.
        settings: Budget, penalty, box, optimiser and space.

    Returns:
        The personalisation with every evaluated point; it has no rule for falling back to the base.

    Raises:
        ConfigError: The budget does not hold one generation.
    """
    mixture = Mixture(context.modules(), settings.space)
    items = context.latest(settings.max_items)
    panel = Panel(context.base, context.task.past, items)
    points: list[SearchPoint] = []

    def loss(candidates: Floats) -> Floats:
        def measure() -> list[Figures]:
            answers = panel.ask(mixture.bank, candidates, Wanted(texts=False, gold=True))
            return [{"u": [u]} for u in answers.gold.mean(axis=1).tolist()]

        log = context.search_log
        figures = measure() if log is None else log.measured("search", candidates, measure)
        utility = np.array([one["u"][0] for one in figures])
        size = np.abs(candidates).mean(axis=1)
        points.extend(
            SearchPoint(tuple(row.tolist()), float(u), float(s), "search", len(items))
            for row, u, s in zip(candidates, utility, size, strict=True)
        )
        return penalised(-utility, candidates, settings.l1)

    how = SearchSettings(
        optimiser=settings.optimiser,
        budget=settings.budget,
        population=None,
        sigma=2 * settings.bound * STEP,
        bound=settings.bound,
        seed=context.seeds.integer("search"),
    )
    end = minimise(loss, mixture.dimension, how)
    loss(end.recommendation[None])
    points[-1] = replace(points[-1], part=CHECK)
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=mixture.export(end.recommendation),
        sources=context.sharers,
        weights=mixture.own_share(end.recommendation),
        points=tuple(points),
        chosen=len(points) - 1,
        notes={"optimiser": end.algorithm, "evaluations": len(points) - 1, "space": settings.space},
    )


def penalised(losses: Floats, candidates: Floats, l1: float) -> Floats:
    """Returns the losses plus ``l1`` times the mean absolute weight (LoRAHub, section 3.3).

    Args:
        losses: Shape ``(m,)``, in nats per token.
        candidates: Shape ``(m, sharers)``.
        l1: The factor.

    Returns:
        Shape ``(m,)``.
    """
    summed: Floats = losses + l1 * np.abs(candidates).mean(axis=1)
    return summed
