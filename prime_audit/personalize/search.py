"""Gradient-free search over merge weights with nevergrad, one generation at a time."""

from collections.abc import Callable

import nevergrad as ng
import numpy as np
from numpy.typing import NDArray

from prime_audit.errors import ConfigError

# nevergrad multiplies CMA's first step by this in a bounded box (by half of it from 18 dimensions on); it is
# divided out, so that ``sigma`` is what it says.
BOXED_STEP = 0.3

Loss = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def default_population(dimension: int) -> int:
    """Returns CMA-ES's usual population, ``4 + floor(3 ln d)`` (Hansen, arXiv:1604.00772, eq. 48)."""
    return 4 + int(3 * np.log(dimension))


def minimise(
    loss: Loss, dimension: int, *, budget: int, population: int | None, sigma: float, bound: float, seed: int
) -> None:
    """Runs CMA-ES from the origin in ``[-bound, bound]^d``; the caller's ``loss`` keeps what it saw.

    CMA-ES updates only after a whole generation, so evaluating a generation in one call changes nothing
    in the algorithm and lets one forward pass serve all its candidates.

    Args:
        loss: Takes candidates of shape ``(m, d)`` and returns ``m`` losses.
        dimension: Number of merge weights d.
        budget: Number of evaluations.
        population: Candidates per generation; None for ``4 + floor(3 ln d)``.
        sigma: Initial standard deviation of a weight, in units of the weight.
        bound: Half the width of the search box.
        seed: Seed of the optimiser.

    Raises:
        ConfigError: If the budget does not hold one generation.
    """
    size = population or default_population(dimension)
    if budget < size:
        raise ConfigError(
            f"the search budget is {budget}, but one generation takes {size} evaluations",
            hint=f"set the method's budget to at least {size}, or a smaller population",
        )
    # nevergrad's CMA needs two dimensions; with one sharer the second coordinate is drawn and not used.
    width = max(2, dimension)
    space = ng.p.Array(init=np.zeros(width), lower=-bound, upper=bound).set_mutation(sigma=sigma)
    space.random_state.seed(seed)
    scale = 1 / (BOXED_STEP if width < 18 else BOXED_STEP / 2)
    optimiser = ng.optimizers.ParametrizedCMA(scale=scale, popsize=size)(
        space, budget=budget, num_workers=size
    )
    for start in range(0, budget, size):
        asked = [optimiser.ask() for _ in range(min(size, budget - start))]
        losses = loss(np.stack([candidate.value[:dimension] for candidate in asked]))
        for candidate, value in zip(asked, losses, strict=True):
            optimiser.tell(candidate, float(value))
