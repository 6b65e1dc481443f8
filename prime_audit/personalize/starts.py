"""Where a search starts: the base, each sharer alone, the mean, and weights by similarity."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from prime_audit.config import Start
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.types import TargetContext

# Centred cosines of histories lie within about half of one: this spreads the weights without picking one.
TEMPERATURE = 0.1


def start_points(
    names: Sequence[Start], mixture: Mixture, context: TargetContext, bound: float
) -> NDArray[np.float64]:
    """Returns the start points that a study names.

    Args:
        names: ``base`` (0), ``sharers`` (each e_i), ``uniform`` (1/N), ``similarity`` (softmax).
        mixture: The selected sharers' modules.
        context: The target's context.
        bound: The largest weight; what lies outside of the box is moved to its edge.

    Returns:
        Distinct points in the order of ``names``, shape ``(m, dimensions)``.
    """
    count = len(mixture.modules)
    rows: dict[Start, Sequence[Sequence[float]]] = {
        "base": [[0.0] * count],
        "sharers": np.eye(count).tolist(),
        "uniform": [[1 / count] * count],
        "similarity": [similarity_weights(context, TEMPERATURE)],
    }
    points = [np.clip(mixture.spread(row), -bound, bound) for name in names for row in rows[name]]
    distinct = {point.tobytes(): point for point in points}
    return np.stack(list(distinct.values())) if distinct else np.empty((0, mixture.dimension))


def most_starts(names: Sequence[Start], sharers: int) -> int:
    """Returns how many start points there are, before similarities and modules are known.

    Args:
        names: As for `start_points`.
        sharers: Number of sharers.

    Returns:
        The number of distinct points; one more than in the end if 1/N and the weights by similarity agree.
    """
    weighted = ("uniform" in names) + ("similarity" in names)
    if sharers == 1:
        # Alone, a sharer has the weight 1 in each of them.
        return ("base" in names) + ("sharers" in names or weighted > 0)
    return ("base" in names) + (sharers if "sharers" in names else 0) + weighted


def similarity_weights(context: TargetContext, temperature: float) -> tuple[float, ...]:
    """Returns the softmax of the selected sharers' similarities over a temperature; it sums to 1."""
    cosines = np.array([context.similarity[sharer] for sharer in context.sharers])
    return tuple(float(weight) for weight in softmax(cosines / temperature))
