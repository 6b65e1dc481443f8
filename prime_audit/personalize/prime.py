"""PriME (EMNLP 2025): evolutionary search for merge weights, with a held-out choice of what is deployed.

Three things differ from the published code, and each is stated in the report: the merge is exact
(``dW = sum_i w_i s_i B_i A_i``; the published one multiplies merged factors, which adds cross terms and is
even in w), what is returned is the best *evaluated* candidate on items that the search did not see, and
the base is one of the candidates.
"""

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod
from prime_audit.data import Item
from prime_audit.modules import AdapterBank, export
from prime_audit.personalize.objective import Objective, value
from prime_audit.personalize.registry import register
from prime_audit.personalize.search import minimise
from prime_audit.personalize.types import Personalisation, SearchPoint, TargetContext

FINALISTS = 6  # candidates that the selection part sees: few enough not to over-fit it


@register(
    "prime",
    settings=PrimeMethod,
    family="merging",
    label="PriME",
    source="PriME, EMNLP 2025",
)
def prime(context: TargetContext, settings: PrimeMethod) -> Personalisation:
    """Searches merge weights for one target and deploys the best one, or the base.

    Args:
        context: The target, its selected sharers and their modules.
        settings: Budget, alpha, step size, margin and the split of the history.

    Returns:
        The personalisation with every evaluated point.
    """
    searched, held_out = split_history(context, settings)
    if not held_out:
        return _fallback(context, (), "the history is too short for a search and a selection part")
    modules = tuple(context.load(sharer) for sharer in context.sharers)
    bank = AdapterBank(modules)
    points = _search(Objective(context, bank, searched, "search"), len(modules), settings, context)
    finalists = _finalists(points, settings.alpha)
    selection = Objective(context, bank, held_out, "selection").points(np.array(finalists))
    base = value(selection[0], settings.alpha)
    best = max(range(len(selection)), key=lambda i: value(selection[i], settings.alpha))
    every = (*points, *selection)
    gain = value(selection[best], settings.alpha) - base
    if best == 0 or gain <= settings.margin:
        return _fallback(context, every, "no candidate beat the base on the selection part by the margin")
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=export(modules, selection[best].weights),
        weights=selection[best].weights,
        sources=context.sharers,
        points=every,
        chosen=len(points) + best,
    )


def split_history(context: TargetContext, settings: PrimeMethod) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Splits the target's history into a search and a selection part, at random.

    Args:
        context: The target's context.
        settings: ``max_items`` keeps the latest items; ``selection_fraction`` is the held-out share.

    Returns:
        Search items and selection items; the second is empty if there are fewer than four items.
    """
    history = context.target.history
    if settings.max_items is not None:
        history = history[-settings.max_items :]
    count = round(len(history) * settings.selection_fraction)
    if len(history) < 4 or count == 0 or count == len(history):
        return history, ()
    order = context.seeds.generator("split").permutation(len(history))
    held_out = set(order[:count].tolist())
    return (
        tuple(item for i, item in enumerate(history) if i not in held_out),
        tuple(item for i, item in enumerate(history) if i in held_out),
    )


def _search(
    objective: Objective, dimension: int, settings: PrimeMethod, context: TargetContext
) -> list[SearchPoint]:
    """Evaluates the fixed starting points, then CMA-ES within the budget."""
    starts = np.vstack(
        [np.zeros(dimension), np.eye(dimension), np.full(dimension, 1 / dimension), np.ones(dimension)]
    )
    starts = np.unique(starts, axis=0)
    points = objective.points(starts)

    def loss(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        fresh = objective.points(candidates)
        points.extend(fresh)
        return np.array([-value(point, settings.alpha) for point in fresh])

    minimise(
        loss,
        dimension,
        budget=settings.budget,
        population=settings.population,
        sigma=settings.sigma,
        bound=settings.bound,
        seed=context.seeds.integer("search"),
    )
    return points


def _finalists(points: list[SearchPoint], alpha: float) -> list[tuple[float, ...]]:
    """Returns the base, then the best distinct candidates of the search."""
    base = tuple(0.0 for _ in points[0].weights)
    ranked = sorted(points, key=lambda point: -value(point, alpha))
    distinct = dict.fromkeys(point.weights for point in ranked if any(point.weights))
    return [base, *list(distinct)[:FINALISTS]]


def _fallback(context: TargetContext, points: tuple[SearchPoint, ...], reason: str) -> Personalisation:
    return Personalisation(prompt=context.plain_prompt, reverted=True, reason=reason, points=points)
