"""Gradient-free search over merge weights, one generation at a time (nevergrad; scipy for filling space)."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from prime_audit.config import OptimiserName
from prime_audit.errors import ConfigError

Floats = NDArray[np.float64]
Loss = Callable[[Floats], Floats]

# nevergrad multiplies CMA's first step by this in a bounded box (by half of it from 18 dimensions on); it is
# divided out, so that ``sigma`` is what it says.
BOXED_STEP = 0.3
# nevergrad hands COBYLA a tolerance that scipy replaces; a user can do nothing about it.
warnings.filterwarnings("ignore", message="COBYLA: Invalid RHOEND")


@dataclass(frozen=True)
class SearchSettings:
    """How to search; see `prime_audit.config.PrimeMethod` for what a study says of it.

    Attributes:
        optimiser: Which algorithm.
        budget: Number of evaluations.
        population: Candidates per generation; None for the algorithm's own.
        sigma: First standard deviation of a weight, in units of the weight.
        bound: Half the width of the search box.
        seed: Seed of the optimiser.
    """

    optimiser: OptimiserName
    budget: int
    population: int | None
    sigma: float
    bound: float
    seed: int


@dataclass(frozen=True)
class SearchEnd:
    """How a search ended.

    Attributes:
        recommendation: The algorithm's own answer, shape ``(d,)``; not always a point that it evaluated.
        algorithm: What ran, as nevergrad names it.
        population: Candidates per generation.
    """

    recommendation: Floats
    algorithm: str
    population: int


def default_population(dimension: int) -> int:
    """Returns CMA-ES's usual population, ``4 + floor(3 ln d)`` (Hansen, arXiv:1604.00772, eq. 48)."""
    return 4 + int(3 * np.log(dimension))


def population_of(optimiser: OptimiserName, population: int | None, dimension: int) -> int:
    """Returns how many candidates a generation has.

    NGOpt chooses another algorithm when it may ask for several at once, so without a population it is
    asked for one at a time, as published.

    Args:
        optimiser: Which algorithm.
        population: What the study says, or None.
        dimension: Number of merge weights.

    Returns:
        At least 1.
    """
    if population is not None:
        return population
    return 1 if optimiser == "ngopt" else default_population(dimension)


def check_budget(
    optimiser: OptimiserName, budget: int, population: int | None, dimension: int, starts: int = 0
) -> None:
    """Refuses a budget that does not hold one generation after the start points.

    Args:
        optimiser: Which algorithm.
        budget: Number of evaluations, start points included.
        population: Candidates per generation, or None.
        dimension: Number of merge weights.
        starts: Number of start points.

    Raises:
        ConfigError: It is too small; the text says what would do.
    """
    size = population_of(optimiser, population, dimension)
    if budget - starts < size:
        after = f" after {starts} start points" if starts else ""
        raise ConfigError(
            f"the search budget is {budget}, but one generation takes {size} evaluations{after}",
            hint=f"set the method's budget to at least {size + starts}"
            + (", or a smaller population" if size > 2 else ""),
        )


def minimise(loss: Loss, dimension: int, settings: SearchSettings, start: Floats | None = None) -> SearchEnd:
    """Searches ``[-bound, bound]^d`` from a start point; the caller's ``loss`` keeps what it saw.

    CMA-ES updates only after a whole generation, so evaluating a generation in one call changes nothing
    in the algorithm and lets one forward pass serve all its candidates.

    Args:
        loss: Takes candidates of shape ``(m, d)`` and returns ``m`` losses.
        dimension: Number of merge weights d.
        settings: The algorithm and its budget.
        start: Where the algorithm starts, inside the box; the origin by default.

    Returns:
        The algorithm's recommendation and name.

    Raises:
        ConfigError: The budget does not hold one generation.
    """
    check_budget(settings.optimiser, settings.budget, settings.population, dimension)
    size = population_of(settings.optimiser, settings.population, dimension)
    origin = np.zeros(dimension) if start is None else np.clip(start, -settings.bound, settings.bound)
    algorithm = _algorithm(dimension, settings, size, origin)
    for asked in range(0, settings.budget, size):
        candidates = algorithm.ask(min(size, settings.budget - asked))
        algorithm.tell(loss(candidates))
    return SearchEnd(algorithm.recommendation(), algorithm.name, size)


class _Algorithm(Protocol):
    """What a search asks of an algorithm."""

    @property
    def name(self) -> str: ...

    def ask(self, count: int) -> Floats: ...

    def tell(self, losses: Floats) -> None: ...

    def recommendation(self) -> Floats: ...


def _algorithm(dimension: int, settings: SearchSettings, size: int, origin: Floats) -> _Algorithm:
    if settings.optimiser == "space-filling":
        return _SpaceFilling(dimension, settings)
    return _Nevergrad(dimension, settings, size, origin)


class _Nevergrad:
    """An optimiser of nevergrad behind ask and tell of whole generations."""

    def __init__(self, dimension: int, settings: SearchSettings, size: int, origin: Floats) -> None:
        self._dimension = dimension
        self._budget = settings.budget
        self._asked: list[Any] = []
        # Loading it takes longer than most commands that search nothing.
        import nevergrad as ng

        # nevergrad's CMA needs two dimensions; with one sharer the second coordinate is drawn and not used.
        width = max(2, dimension)
        init = np.zeros(width)
        init[:dimension] = origin
        space = ng.p.Array(init=init, lower=-settings.bound, upper=settings.bound)
        space.set_mutation(sigma=settings.sigma)
        space.random_state.seed(settings.seed)
        family = _family(settings.optimiser, size, width)
        self._optimiser = family(space, budget=settings.budget, num_workers=size)

    @property
    def name(self) -> str:
        """The algorithm, with the one that NGOpt chose."""
        chosen = getattr(self._optimiser, "optim", None)
        name = str(self._optimiser.name).partition("(")[0]
        return f"{name}: {chosen.name}" if chosen is not None else name

    def ask(self, count: int) -> Floats:
        """Returns the next candidates."""
        try:
            self._asked = [self._optimiser.ask() for _ in range(count)]
        except TypeError as error:
            # nevergrad 1.0.12's surrogate models turn an array into a number in a way that numpy 2.4 refuses.
            raise ConfigError(
                f"{self.name} (budget {self._budget}) does not run with this numpy: {error}",
                hint="choose another optimiser, such as cma, or a budget at which ngopt chooses another one",
            ) from error
        return np.stack([candidate.value[: self._dimension] for candidate in self._asked])

    def tell(self, losses: Floats) -> None:
        """Reports the losses of the last candidates."""
        for candidate, value in zip(self._asked, losses, strict=True):
            self._optimiser.tell(candidate, float(value))

    def recommendation(self) -> Floats:
        """Returns the optimiser's own answer."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._optimiser.provide_recommendation().value
        return np.asarray(found[: self._dimension], dtype=np.float64)


def _family(optimiser: OptimiserName, size: int, width: int) -> Callable[..., Any]:
    import nevergrad as ng

    if optimiser == "cma":
        scale = 1 / (BOXED_STEP if width < 18 else BOXED_STEP / 2)
        family = ng.optimizers.ParametrizedCMA(scale=scale, popsize=size)
    elif optimiser == "tbpsa":
        family = ng.families.ParametrizedTBPSA(naive=False, initial_popsize=size)
    elif optimiser == "de":
        family = ng.families.DifferentialEvolution(popsize=size)
    else:
        family = {"one-plus-one": ng.optimizers.OnePlusOne, "ngopt": ng.optimizers.NGOpt}[optimiser]
    made: Callable[..., Any] = family
    return made


class _SpaceFilling:
    """Scrambled Sobol points that fill the box evenly (Owen 1998); the answer is the best of them."""

    name = "Sobol"

    def __init__(self, dimension: int, settings: SearchSettings) -> None:
        self._sobol = scipy.stats.qmc.Sobol(
            dimension, scramble=True, rng=np.random.default_rng(settings.seed)
        )
        self._bound = settings.bound
        self._asked = np.empty((0, dimension))
        self._best = (np.inf, np.zeros(dimension))

    def ask(self, count: int) -> Floats:
        """Returns the next points of the sequence."""
        with warnings.catch_warnings():
            # The balance of a power of two is not needed: points are taken as far as the budget goes.
            warnings.filterwarnings("ignore", message="The balance properties")
            self._asked = scipy.stats.qmc.scale(self._sobol.random(count), -self._bound, self._bound)
        return self._asked

    def tell(self, losses: Floats) -> None:
        """Keeps the best point."""
        place = int(np.argmin(losses))
        if losses[place] < self._best[0]:
            self._best = (float(losses[place]), self._asked[place])

    def recommendation(self) -> Floats:
        """Returns the best point."""
        return self._best[1]
