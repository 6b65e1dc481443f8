"""Bootstrap interval of a mean over units, for units enough to resample."""

import math

import numpy as np
from scipy.special import ndtr, stdtrit

from attacks.arrays import FloatArray
from attacks.statistics.estimate import Interval

# Fewest units: below, resampling them covers too rarely (3 users .75, 8 users .88 at 95 %).
FEWEST_RESAMPLED = 20
DRAWS = 2000
_SEED = 0


def bootstrap_interval(
    values: FloatArray,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    draws: int = DRAWS,
    unit: str = "values",
) -> Interval:
    """Returns the expanded percentile interval of a mean (Hesterberg 2015, Am. Stat. 69:371).

    The plain percentile interval is too narrow by the square root of (n - 1) / n and by taking a normal for a
    t quantile: with 20 values it covers 93 % instead of 95 %. Percentiles farther out mend both.

    Args:
        values: ``(n,)`` independent values, one per unit that is resampled as a whole.
        level: Coverage of the interval.
        rng: Source of the samples; a fixed seed if it is None, so that equal values have equal intervals.
        draws: Number of samples.
        unit: What the values are, for the interval's construction in words.

    Returns:
        The interval.

    Raises:
        ValueError: There are fewer than 20 values, one is not finite, or ``draws`` are too few for the level.
    """
    count = len(values)
    if count < FEWEST_RESAMPLED:
        raise ValueError(f"values: at least {FEWEST_RESAMPLED} are needed to resample them, not {count}")
    if not np.isfinite(values).all():
        raise ValueError("values: one is not finite")
    tail = float(ndtr(math.sqrt(count / (count - 1)) * stdtrit(count - 1, (1 - level) / 2)))
    if draws * tail < 1:
        raise ValueError(
            f"draws: at least {math.ceil(1 / tail)} are needed at the level {level}, not {draws}"
        )
    source = np.random.default_rng(_SEED) if rng is None else rng
    means = values[source.integers(0, count, (draws, count))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high), level, f"bootstrap over {count} {unit}")
