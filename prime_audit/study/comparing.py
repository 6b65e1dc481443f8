"""Every method against every other one, person by person, and the order that comes of it."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attacks.statistics import (
    Estimate,
    holm,
    least_two_sided_p,
    mean_interval,
    ranks_by_user,
    resampled_difference,
    sign_flip_two_sided,
)
from prime_audit.audit.membership import interval
from prime_audit.config import StudyConfig
from prime_audit.core import Seeds
from prime_audit.data import Dataset
from prime_audit.personalize import METHODS
from prime_audit.results import Metric, N
from prime_audit.study.units import Outputs

Floats = NDArray[np.float64]
# Under this, no assignment of signs is rare enough: 2 / 2^6 = .03.
FEWEST_TARGETS = 6
LEVEL = 0.05
Pair = tuple[str, str]


def versus_metrics(config: StudyConfig, dataset: Dataset, outputs: Outputs, seeds: Seeds) -> list[Metric]:
    """Compares the utility of every pair of methods over the targets; controls are left out.

    Args:
        config: The study.
        dataset: Its users.
        outputs: Outputs of the units ``deploy/<method>/<target>``.
        seeds: Of the study; they decide the signs of the tests and the samples of the intervals.

    Returns:
        ``utility.rank`` per method, its mean rank over targets (1 is the best); and per pair, the method that
        the study lists later with the earlier one as its reference: ``utility.versus``, the mean difference
        over targets with an interval (t; from 20 targets bootstrap over them), ``utility.versus_p`` by
        flipping signs at random, two-sided, and ``utility.versus_holm``, corrected for all pairs (Holm).
        Where so many pairs leave no difference that the targets could show, the pairs with the base alone are
        corrected for each other and the others are undefined. Nothing for fewer than two methods.
    """
    names = [method.id for method in config.methods if METHODS[method.kind].family != "control"]
    if len(names) < 2:
        return []
    values: dict[str, Floats] = {
        name: np.array([np.mean(outputs[f"deploy/{name}/{t.id}"]["primary"]) for t in dataset.targets])
        for name in names
    }
    base = next((method.id for method in config.methods if method.kind == "base"), None)
    return compare(values, seeds, base)


def compare(values: Mapping[str, Floats], seeds: Seeds, comparator: str | None = None) -> list[Metric]:
    """Compares methods by one figure per user; see `versus_metrics`.

    Args:
        values: Per method ``(users,)``, higher is better, of the same users in the same order.
        seeds: Decide the signs of the tests and the samples of the intervals.
        comparator: The method that the others are compared with where there are too many pairs for all.

    Returns:
        The metrics.
    """
    metrics = []
    for name, ranks in ranks_by_user(values).items():
        found = mean_interval(ranks, unit="targets")
        metrics.append(_metric("utility.rank", name, None, found, len(ranks), "lower", "rank"))
    pairs = [(later, earlier) for earlier, later in combinations(values, 2)]
    tests = [_test(values[one] - values[other], seeds, one, other) for one, other in pairs]
    corrected = _corrected(pairs, tests, len(next(iter(values.values()))), comparator)
    for (one, other), p in zip(pairs, tests, strict=True):
        rng = seeds.generator("versus-interval", one, other)
        found = resampled_difference(values[one], values[other], rng=rng, unit="targets")
        users = len(values[one])
        metrics.append(_metric("utility.versus", one, other, found, users, None, "share"))
        metrics.append(_metric("utility.versus_p", one, other, p, users, None, "probability"))
        metrics.append(
            _metric("utility.versus_holm", one, other, corrected[one, other], users, None, "probability")
        )
    return metrics


def _corrected(
    pairs: Sequence[Pair], tests: Sequence[Estimate], targets: int, comparator: str | None
) -> dict[Pair, Estimate]:
    """Corrects within all pairs, or within those of the comparator where all would leave nothing to find."""
    known = {pair: p.value for pair, p in zip(pairs, tests, strict=True) if p.value is not None}
    if not known:
        return dict(zip(pairs, tests, strict=True))
    least, family, about = least_two_sided_p(targets), list(known), f"{len(known)} pairs"
    why = f"undefined: {targets} targets cannot show a difference among {len(known)} pairs"
    if least * len(family) > LEVEL:
        family = [pair for pair in known if comparator in pair]
        about = f"{len(family)} pairs with {comparator}, the only ones corrected for"
        if least * len(family) > LEVEL:
            family = []
    adjusted = dict(zip(family, holm([known[pair] for pair in family]), strict=True))
    return {
        pair: Estimate(adjusted[pair], None, about) if pair in adjusted else Estimate(None, None, why)
        for pair in known
    }


def _test(differences: Floats, seeds: Seeds, one: str, other: str) -> Estimate:
    if len(differences) < FEWEST_TARGETS:
        return Estimate(None, None, f"a test needs {FEWEST_TARGETS} targets, has {len(differences)}")
    # Two methods that answer alike differ by rounding at most.
    clean = np.where(np.abs(differences) < 1e-9, 0.0, differences)
    return Estimate(sign_flip_two_sided(clean, seeds.generator("versus", one, other)), None, "")


def _metric(
    name: str, method: str, other: str | None, found: Estimate, users: int, direction: str | None, unit: str
) -> Metric:
    return Metric.model_validate(
        {
            "id": name,
            "method": method,
            "reference": other,
            "value": found.value,
            "status": "undefined" if found.value is None else "ok",
            "reason": found.reason,
            "ci": interval(found),
            "n": N(users=users),
            "direction": direction,
            "unit": unit,
        }
    )
