"""Made-up searches: what merging methods would have deployed for twelve targets, and how they found it."""

import numpy as np

from prime_audit.results import CI, Method, Metric, Search, SearchPoint, SliceValue

TARGETS = tuple(f"T{number:02d}" for number in range(1, 13))
BUDGET = {"prime": 40, "official": 10, "lorahub": 40, "task-arithmetic": 4}
REVERTED = {"prime": (3, 8), "official": (0, 5, 7), "lorahub": (2,), "rescaled": (3, 8)}
REASON = "no candidate beat the base on the selection part by the margin"
_ITEMS = 12


def searches(methods: tuple[Method, ...], seed: int = 5) -> tuple[Search, ...]:
    """Draw a search per method and target, the same ones at every call."""
    return tuple(
        _search(method, number, np.random.default_rng([seed, place, number]))
        for place, method in enumerate(methods)
        for number in range(len(TARGETS))
    )


def _search(method: Method, number: int, rng: np.random.Generator) -> Search:
    sharers = tuple(f"S{(number + step) % 12 + 1:02d}" for step in range(3))
    back = number in REVERTED.get(method.id, ())
    weights = tuple(float(weight) for weight in rng.normal(0.3, 0.3, 3))
    points: tuple[SearchPoint, ...] = ()
    chosen = None
    if method.id in BUDGET:
        tried = _tried(method.id, number, rng)
        best = max(range(len(tried)), key=lambda i: (tried[i].u or 0) - 0.1 * (tried[i].s or 0))
        kept = SearchPoint(w=tried[best].w, u=0.5, s=0.4, part="selection", items=8)
        points = (*tried, kept)
        chosen = None if back else len(tried)
        weights = kept.w
    notes: dict[str, SliceValue] = {}
    if method.id in ("prime", "lorahub"):
        notes["optimiser"] = "CMA" if number % 3 else "OnePlusOne"
    if method.id in ("ties", "dare"):
        notes["svd_error"] = round(0.01 * (number + 1), 3)
    if method.id == "task-arithmetic":
        notes["scale"] = 0.3
    return Search(
        method=method.id,
        target=TARGETS[number],
        sharers=sharers,
        points=points,
        chosen=chosen,
        weights=() if back else weights,
        norm_ratio=0.0 if back else round(float(np.linalg.norm(weights)), 4),
        reverted=back,
        reason=REASON if back else "",
        notes=notes,
    )


def _tried(name: str, number: int, rng: np.random.Generator) -> list[SearchPoint]:
    """The base, then candidates that get better; every ninth one of prime is dropped after four items."""
    centre, goal = np.zeros(3), rng.uniform(0.2, 0.8, 3)
    ease = 0.35 + 0.02 * number
    points = [SearchPoint(w=(0.0, 0.0, 0.0), u=ease, s=0.3, part="search", items=_ITEMS)]
    for step in range(1, BUDGET[name]):
        centre += 0.05 * (goal - centre)
        weights = centre + rng.normal(0, 0.25, 3)
        gain = 0.25 * (1 - float(np.linalg.norm(weights - goal))) + float(rng.normal(0, 0.03))
        similar = 0.3 + 0.5 * float(np.tanh(np.linalg.norm(weights))) + float(rng.normal(0, 0.03))
        raced = name == "prime" and step % 9 == 0
        points.append(
            SearchPoint(
                w=tuple(float(weight) for weight in weights),
                u=float(np.round(np.clip(ease + gain, 0, 1), 3)),
                s=float(np.round(np.clip(similar, 0, 1), 3)),
                part="search",
                items=4 if raced else _ITEMS,
            )
        )
    return points


def premise(method: str) -> list[Metric]:
    """Draw the rank correlations of S with leakage of one method, over all targets and for each."""
    metrics = []
    for given, value in (("none", 0.31), ("norm and share", 0.04)):
        part: dict[str, SliceValue] = {"given": given}
        ci = CI(low=value - 0.12, high=value + 0.12, how="t over targets")
        metrics.append(Metric(id="premise.rank_correlation", method=method, value=value, ci=ci, slice=part))
        metrics += [
            Metric(
                id="premise.rank_correlation",
                method=method,
                target=target,
                value=round(value + 0.03 * (number - 6), 3),
                slice=part,
            )
            for number, target in enumerate(TARGETS)
        ]
    return metrics
