"""What the evaluations of a search say: the best so far, the front, and what another alpha had chosen.

Nothing is evaluated again: U and S do not depend on alpha. Two measurements are compared only where they
rest on the same items, so candidates that racing dropped early, and the selection part, are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import JsonValue

from prime_audit.results import Search, SearchPoint


@dataclass(frozen=True)
class Sweep:
    """The best evaluated candidate per target under one alpha, in the mean over targets.

    `base` counts the targets whose best candidate is the base.
    """

    alpha: float
    utility: float
    similarity: float
    base: int


def penalty(params: Mapping[str, JsonValue]) -> float | None:
    """Read how much of the privacy term a method subtracts from utility.

    Args:
        params: The method's settings.

    Returns:
        Its alpha; None where the method has none.
    """
    alpha = params.get("alpha")
    return float(alpha) if isinstance(alpha, int | float) and not isinstance(alpha, bool) else None


def value(point: SearchPoint, alpha: float) -> float | None:
    """Compute U - alpha * S of a candidate.

    Args:
        point: The candidate.
        alpha: How much the privacy term counts.

    Returns:
        The value; None where U, or an S that counts, is missing.
    """
    if point.u is None:
        return None
    if alpha == 0:
        return point.u
    return None if point.s is None else point.u - alpha * point.s


def searched(entry: Search) -> tuple[SearchPoint, ...]:
    """List the candidates that were evaluated on the search part, in order.

    Args:
        entry: The search for one target.

    Returns:
        The candidates, those that racing dropped early among them.
    """
    return tuple(point for point in entry.points if point.part == "search")


def comparable(entry: Search) -> tuple[SearchPoint, ...]:
    """List the candidates of the search part that were evaluated on all of its items.

    Args:
        entry: The search for one target.

    Returns:
        The candidates, in order.
    """
    points = searched(entry)
    items = max((point.items for point in points), default=0)
    return tuple(point for point in points if point.items == items)


def best_so_far(entry: Search, alpha: float) -> tuple[float | None, ...]:
    """Follow the best U - alpha * S over the evaluated candidates of the search part.

    Args:
        entry: The search for one target.
        alpha: How much the privacy term counts.

    Returns:
        One value per evaluated candidate; None until the first that counts. A candidate that racing
        dropped counts as evaluated but never as the best.
    """
    points = searched(entry)
    items = max((point.items for point in points), default=0)
    best: float | None = None
    curve = []
    for point in points:
        new = value(point, alpha) if point.items == items else None
        best = new if best is None else best if new is None else max(best, new)
        curve.append(best)
    return tuple(curve)


def mean_curve(curves: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Average curves over targets; one that ended keeps its last value.

    Args:
        curves: One per target.

    Returns:
        As many values as the longest curve has; None where some target has none yet.
    """
    length = max((len(curve) for curve in curves), default=0)
    columns = [[curve[min(step, len(curve) - 1)] for curve in curves if curve] for step in range(length)]
    known = [[entry for entry in column if entry is not None] for column in columns]
    return tuple(
        fmean(values) if len(values) == len(column) else None
        for values, column in zip(known, columns, strict=True)
    )


def base_value(entry: Search, alpha: float) -> float | None:
    """Find U - alpha * S of the base on the search part.

    Args:
        entry: The search for one target.
        alpha: How much the privacy term counts.

    Returns:
        The value; None where the base was not evaluated there.
    """
    return next((value(point, alpha) for point in comparable(entry) if not any(point.w)), None)


def undominated(points: Sequence[SearchPoint]) -> tuple[int, ...]:
    """Find the candidates that no other one beats in both utility and similarity.

    Args:
        points: Candidates for one target, measured on the same items.

    Returns:
        Positions, the one with the lowest similarity first; of equal candidates the first alone.
    """
    known = [(p.s, -p.u, place) for place, p in enumerate(points) if p.u is not None and p.s is not None]
    front: list[int] = []
    highest = float("-inf")
    for _, loss, place in sorted(known):
        if -loss > highest:
            front.append(place)
            highest = -loss
    return tuple(front)


def sweep(entries: Sequence[Search], alphas: Sequence[float]) -> tuple[Sweep, ...]:
    """Ask which candidates other values of alpha would have chosen, from the evaluations that there are.

    Args:
        entries: The searches of one method; targets without a comparable candidate are left out.
        alphas: The values.

    Returns:
        One entry per alpha: means over targets of U and S of each target's candidate with the highest
        U - alpha * S on the search part (the lower S where two are equal). Empty where no target has one.
    """
    pools = [[p for p in comparable(entry) if p.u is not None and p.s is not None] for entry in entries]
    pools = [pool for pool in pools if pool]
    if not pools:
        return ()
    rows = []
    for alpha in alphas:
        chosen = [max(pool, key=lambda point: _rank(point, alpha)) for pool in pools]
        utility = fmean(point.u or 0.0 for point in chosen)
        similarity = fmean(point.s or 0.0 for point in chosen)
        rows.append(Sweep(alpha, utility, similarity, sum(not any(point.w) for point in chosen)))
    return tuple(rows)


def _rank(point: SearchPoint, alpha: float) -> tuple[float, float]:
    # Rounded, so that a tie is one whatever the last digit of its two sums.
    return round(value(point, alpha) or 0.0, 9), -(point.s or 0.0)


def deployed_point(entry: Search) -> SearchPoint | None:
    """Find the chosen candidate as it was measured on the search part.

    Args:
        entry: The search for one target.

    Returns:
        The candidate with the chosen one's weights; None where nothing was chosen, or nothing comparable
        has these weights.
    """
    if entry.chosen is None:
        return None
    weights = entry.points[entry.chosen].w
    return next((point for point in comparable(entry) if point.w == weights), None)


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """Compute how much of the weight each sharer holds: |w_i| / Σ|w_j|.

    Args:
        weights: One per sharer.

    Returns:
        Shares that add up to 1; empty where every weight is 0.
    """
    total = sum(abs(weight) for weight in weights)
    return tuple(abs(weight) / total for weight in weights) if total else ()
