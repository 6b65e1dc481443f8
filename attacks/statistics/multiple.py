"""Several methods on the same people: corrected p-values and mean ranks."""

from collections.abc import Mapping, Sequence

import numpy as np

from attacks.arrays import FloatArray
from attacks.statistics.auc import mid_ranks


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for being several (Holm 1979).

    Args:
        p_values: The p-values.

    Returns:
        Adjusted p-values in the same order: at most 5 % of the time one of them is at most .05 by chance.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def ranks_by_user(values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Ranks methods within every user, as the Friedman test does (Demsar 2006, JMLR 7, section 3.2.2).

    Args:
        values: Per method ``(users,)``, higher is better, of the same users in the same order.

    Returns:
        Per method ``(users,)`` ranks: 1 for the best; equal ones share the mean of their ranks. What differs
        by rounding alone counts as equal.
    """
    if not values:
        return {}
    table = np.asarray(np.round(np.stack(list(values.values())), 9), dtype=np.float64)
    ranks = mid_ranks(-table.T).T
    return {name: np.asarray(row, dtype=np.float64) for name, row in zip(values, ranks, strict=True)}
