"""PriME (EMNLP 2025): evolutionary search for merge weights, with a held-out choice of what is deployed.

By default three things differ from the published code, and each is stated in the report: the merge is exact
(``dW = sum_i w_i s_i B_i A_i``; the published one multiplies merged factors, which adds cross terms and is
even in w), what is returned is the best *evaluated* candidate on items that the search did not see, and
the base is one of the candidates. ``preset: official`` takes all three back. The published prompts, which
add a profile and a retrieved item to a copy of each history item, are not reproduced.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod
from prime_audit.data import Item
from prime_audit.personalize.mixture import Mixture, mixture_of
from prime_audit.personalize.objective import Evaluation, Objective
from prime_audit.personalize.racing import race
from prime_audit.personalize.registry import register
from prime_audit.personalize.search import SearchEnd, SearchSettings, check_budget, minimise
from prime_audit.personalize.starts import start_points
from prime_audit.personalize.types import CHECK, Note, Personalisation, TargetContext

FINALISTS = 6  # candidates that the selection part sees: few enough not to over-fit it
# The items that choose among finalists also say how much the best one gains, which flatters it.
GAIN, GAIN_ERROR = "gain_on_the_items_that_chose", "gain_error"

Floats = NDArray[np.float64]


@register("prime", settings=PrimeMethod, family="merging", label="PriME", source="PriME, EMNLP 2025")
def prime(context: TargetContext, settings: PrimeMethod) -> Personalisation:
    """Searches merge weights for one target and deploys the best one, or the base.

    Args:
        context: The target, its selected sharers and their modules.
        settings: Objective, search, and how the result is chosen.

    Returns:
        The personalisation with every evaluated point.

    Raises:
        ConfigError: The budget does not hold one generation, or the privacy term cannot be had.
    """
    searched, held_out = split_history(context, settings)
    if settings.choice == "best" and not held_out:
        return Personalisation(
            prompt=context.plain_prompt,
            reverted=True,
            reason="the history is too short for a search and a selection part",
        )
    mixture = mixture_of(context.modules(), settings)
    objective = Objective(context, mixture, settings, searched, "search")
    found = explore(context, mixture, objective, settings)
    if settings.choice == "recommendation":
        return _as_recommended(context, mixture, objective, found, settings)
    selection = Objective(context, mixture, settings, held_out, "selection")
    return _best_on_selection(context, mixture, selection, found, settings)


def split_history(context: TargetContext, settings: PrimeMethod) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Splits the target's history into a search and a selection part, at random.

    Args:
        context: The target's context.
        settings: ``max_items`` keeps the latest items; ``selection_fraction`` is the held-out share.

    Returns:
        Search items and selection items; the second is empty if there are fewer than four items.
    """
    history = context.latest(settings.max_items)
    count = selection_size(len(history), settings.selection_fraction)
    if not count:
        return history, ()
    order = context.seeds.generator("split").permutation(len(history))
    held_out = set(order[:count].tolist())
    return (
        tuple(item for i, item in enumerate(history) if i not in held_out),
        tuple(item for i, item in enumerate(history) if i in held_out),
    )


def selection_size(items: int, fraction: float) -> int:
    """Returns how many of a history's items are held out for the choice; 0 if it cannot be split."""
    count = round(items * fraction)
    return count if items >= 4 and 0 < count < items else 0


@dataclass(frozen=True)
class Explored:
    """What a search saw: every evaluation in order, start points first, and how it ended."""

    evaluations: list[Evaluation]
    end: SearchEnd
    items: int

    def whole(self) -> list[Evaluation]:
        """Returns the evaluations on all items of the part, which racing did not cut short."""
        return [one for one in self.evaluations if one.items == self.items]


def explore(
    context: TargetContext, mixture: Mixture, objective: Objective, settings: PrimeMethod
) -> Explored:
    """Evaluates the start points, then searches from the best of them within the budget.

    Args:
        context: The target's context.
        mixture: The selected sharers' modules.
        objective: What is maximised.
        settings: The search.

    Returns:
        Every evaluation.

    Raises:
        ConfigError: The budget does not hold one generation after the start points.
    """
    starts = start_points(settings.starts, mixture, context, settings.bound)
    check_budget(settings.optimiser, settings.budget, settings.population, mixture.dimension, len(starts))
    seen = objective.evaluate(starts) if len(starts) else []
    first = max(seen, key=lambda one: one.value(settings.alpha)).weights if seen else None
    order = context.seeds.generator("racing").permutation(objective.size)
    if settings.racing is not None:
        # Races compare item by item, so the start points are put into the order in which items are met.
        seen = [one.reordered(order) for one in seen]

    def loss(candidates: Floats) -> Floats:
        if settings.racing is None:
            fresh = objective.evaluate(candidates)
        else:
            whole = [one for one in seen if one.items == objective.size]
            best = max(whole, key=lambda one: one.value(settings.alpha), default=None)
            fresh = race(objective, candidates, best, settings.racing, order, settings.alpha)
        seen.extend(fresh)
        return np.array([-one.value(settings.alpha) for one in fresh])

    how = SearchSettings(
        optimiser=settings.optimiser,
        budget=settings.budget - len(starts),
        population=settings.population,
        sigma=settings.sigma,
        bound=settings.bound,
        seed=context.seeds.integer("search"),
    )
    end = minimise(loss, mixture.dimension, how, start=first)
    return Explored(seen, end, objective.size)


def _best_on_selection(
    context: TargetContext, mixture: Mixture, selection: Objective, found: Explored, settings: PrimeMethod
) -> Personalisation:
    """Deploys the finalist that is best on the selection part, if it beats the base there by the margin."""
    alpha = settings.alpha
    judged = selection.evaluate(np.stack(finalists(found, alpha, mixture.dimension)))
    base = judged[0]
    best = max(range(len(judged)), key=lambda i: judged[i].value(alpha))
    gain, error = paired_gain(judged[best], base, alpha)
    notes = _notes(found, settings) | {"selection_items": base.items, GAIN: gain, GAIN_ERROR: error}
    every = [*found.evaluations, *judged]
    if best == 0 or gain <= settings.margin + settings.margin_errors * error:
        return _base(context, every, notes, "no candidate beat the base on the selection part by the margin")
    return _merge(context, mixture, every, notes, len(found.evaluations) + best)


def finalists(found: Explored, alpha: float, dimension: int) -> list[Floats]:
    """Returns the base, then the best distinct candidates of the search, best first.

    Args:
        found: What the search saw.
        alpha: Weight of the privacy term.
        dimension: Number of merge weights.

    Returns:
        At most 1 + ``FINALISTS`` candidates.
    """
    ranked = sorted(found.whole(), key=lambda one: -one.value(alpha))
    distinct = {one.weights.tobytes(): one.weights for one in ranked if one.weights.any()}
    return [np.zeros(dimension), *list(distinct.values())[:FINALISTS]]


def paired_gain(candidate: Evaluation, base: Evaluation, alpha: float) -> tuple[float, float]:
    """Returns the mean gain over the base and its standard error over the items, paired.

    Args:
        candidate: A candidate.
        base: The base on the same items.
        alpha: Weight of the privacy term.

    Returns:
        Gain and standard error; the error is 0 where the objective does not add up from items.
    """
    difference = candidate.by_item(alpha) - base.by_item(alpha)
    if min(len(candidate.utility), len(base.utility)) < 2:
        return float(difference.mean()), 0.0
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def _as_recommended(
    context: TargetContext, mixture: Mixture, objective: Objective, found: Explored, settings: PrimeMethod
) -> Personalisation:
    """Deploys the recommendation, or the base if it beats the best evaluated point (as published)."""
    last = objective.evaluate(np.stack([np.zeros(mixture.dimension), found.end.recommendation]))
    # These two are measured on the search part but are no part of the search's budget.
    base, recommended = (replace(one, part=CHECK) for one in last)
    every, notes = [*found.evaluations, base, recommended], _notes(found, settings)
    if base.value(settings.alpha) > max(one.value(settings.alpha) for one in found.whole()):
        return _base(context, every, notes, "the base beat every evaluated candidate on the history")
    return _merge(context, mixture, every, notes, len(every) - 1)


def _base(
    context: TargetContext, every: Sequence[Evaluation], notes: Mapping[str, Note], reason: str
) -> Personalisation:
    """The base, with the record of the search."""
    points = tuple(one.point for one in every)
    return Personalisation(context.plain_prompt, reverted=True, reason=reason, points=points, notes=notes)


def _merge(
    context: TargetContext,
    mixture: Mixture,
    every: Sequence[Evaluation],
    notes: Mapping[str, Note],
    chosen: int,
) -> Personalisation:
    """The merge of one evaluated candidate, with the record of the search."""
    weights = every[chosen].weights
    return Personalisation(
        prompt=context.plain_prompt,
        adapter=mixture.export(weights),
        sources=context.sharers,
        weights=mixture.own_share(weights),
        points=tuple(one.point for one in every),
        chosen=chosen,
        notes=notes,
    )


def _notes(found: Explored, settings: PrimeMethod) -> dict[str, Note]:
    dropped = len(found.evaluations) - len(found.whole())
    notes: dict[str, Note] = {
        "optimiser": found.end.algorithm,
        "population": found.end.population,
        "evaluations": len(found.evaluations),
        "search_items": found.items,
        "space": settings.space,
    }
    return notes | ({"dropped_by_racing": dropped} if settings.racing is not None else {})
