"""The settings of every method that a study file may name."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from prime_audit.config.prompt_methods import (
    InContextMethod,
    PretrainedMethod,
    ProfileMethod,
    ProfileRagMethod,
    RagMethod,
)
from prime_audit.config.section import (
    Count,
    Id,
    ListIsTuple,
    MethodSettings,
    NotNegative,
    Positive,
    Section,
    Share,
)
from prime_audit.config.trained_methods import (
    AdaptMergedMethod,
    OppuMethod,
    OppuProfileMethod,
    OppuRagMethod,
    PooledMethod,
)

Space = Literal["exact", "factor"]
OptimiserName = Literal["cma", "tbpsa", "one-plus-one", "de", "ngopt", "space-filling"]
Start = Literal["base", "sharers", "uniform", "similarity"]


class BaseMethod(MethodSettings):
    """The base without any personal module."""

    kind: Literal["base"] = "base"
    id: Id = "base"


class NearestMethod(MethodSettings):
    """The module of the most similar sharer alone, times `scale`."""

    kind: Literal["nearest"] = "nearest"
    id: Id = "nearest"
    scale: float = 1.0


class UniformMethod(MethodSettings):
    """The mean of the sharers' modules, times `scale`."""

    kind: Literal["uniform"] = "uniform"
    id: Id = "uniform"
    scale: float = 1.0


class TaskArithmeticMethod(MethodSettings):
    """The sum of the sharers' modules, times one factor: `scale`, or the best of `grid` on the history."""

    kind: Literal["task-arithmetic"] = "task-arithmetic"
    id: Id = "task-arithmetic"
    scale: float | None = None
    grid: Annotated[tuple[float, ...], ListIsTuple, Field(min_length=1)] = (0.3, 0.5, 0.7, 1.0)
    max_items: Count | None = None


class SimilarityMethod(MethodSettings):
    """The sharers weighted by the softmax of their similarity over `temperature`, times `scale`."""

    kind: Literal["similarity"] = "similarity"
    id: Id = "similarity"
    temperature: Positive = 0.1
    scale: float = 1.0


class TiesMethod(MethodSettings):
    """TIES on the dense change: keep the largest `density`, elect signs, mean of those that agree.

    The result, times `scale`, is cut to `rank` by SVD; `rank: null` is the sum of the sharers' ranks.
    """

    kind: Literal["ties"] = "ties"
    id: Id = "ties"
    density: Share = 0.2
    scale: float = 1.0
    rank: Count | None = None


class DareMethod(MethodSettings):
    """DARE on the dense change: keep each entry with probability `density`, rescale, then add up.

    `combine: linear` takes the mean, `ties` elects signs first. Cut to `rank` by SVD as for `ties`.
    """

    kind: Literal["dare"] = "dare"
    id: Id = "dare"
    density: Share = 0.5
    combine: Literal["linear", "ties"] = "linear"
    scale: float = 1.0
    rank: Count | None = None


class LoraHubMethod(MethodSettings):
    """LoRAHub: weights found by a gradient-free search on the history's loss plus `l1` times mean |w|."""

    kind: Literal["lorahub"] = "lorahub"
    id: Id = "lorahub"
    budget: Count = 40
    l1: NotNegative = 0.05
    bound: Positive = 1.5
    optimiser: OptimiserName = "ngopt"
    space: Space = "exact"
    max_items: Count | None = None


class PerPcsMethod(MethodSettings):
    """Per-Pcs: gates trained per sharer and layer, assembled from the target's history after the fact."""

    kind: Literal["per-pcs"] = "per-pcs"
    id: Id = "per-pcs"
    steps: Count = 50
    lr: Positive = 2e-5
    batch_size: Count = 6
    top_k: Count = 3
    temperature: Positive = 1.0
    max_items: Count | None = None


class RandomWeightsMethod(MethodSettings):
    """Control: weights in a random direction, the change scaled to the norm of method `of`."""

    kind: Literal["random-weights"] = "random-weights"
    id: Id = "random-weights"
    of: Id = "prime"


class NormMatchedMethod(MethodSettings):
    """Control: the uniform merge scaled to the norm of method `of` (another direction, the same norm)."""

    kind: Literal["norm-matched"] = "norm-matched"
    id: Id = "norm-matched"
    of: Id = "prime"


class RescaledMethod(MethodSettings):
    """Control: method `of` scaled to the norm of the uniform merge (the same direction, another norm)."""

    kind: Literal["rescaled"] = "rescaled"
    id: Id = "rescaled"
    of: Id = "prime"


class FixedWeightsMethod(MethodSettings):
    """Given `weights` on the most similar sharers, in their order; the others get none.

    `norm` scales the change to that multiple of the sharers' mean norm, so that share and norm can be varied
    apart; `null` takes the weights as they are.
    """

    kind: Literal["fixed-weights"] = "fixed-weights"
    id: Id = "fixed-weights"
    weights: Annotated[tuple[float, ...], ListIsTuple, Field(min_length=1)] = (1.0,)
    norm: Positive | None = None
    space: Space = "exact"


class RacingConfig(Section):
    """Racing: the search part is cut into `blocks`; candidates that cannot win any more are dropped.

    After each block a candidate is dropped if its paired mean difference from the incumbent lies more than
    `errors` standard errors below zero.
    """

    blocks: Annotated[int, Field(ge=2)] = 3
    errors: Positive = 2.0


class SamplingConfig(Section):
    """Sampled decoding with common random numbers: equal draws for every candidate on the same item."""

    temperature: Positive = 0.1
    top_p: Share = 0.9
    repeats: Count = 1


# What the published code does when its README is followed; see `preset`.
OFFICIAL: dict[str, Any] = {
    "space": "factor",
    "optimiser": "cma",
    "budget": 10,
    "sigma": 0.15,
    "alpha": 0.1,
    "bound": 1.5,
    "starts": (),
    "utility": "sum",
    "privacy": "similarity",
    "sampling": {"temperature": 0.1, "top_p": 0.9, "repeats": 1},
    "selection_fraction": 0.0,
    "choice": "recommendation",
    "margin": 0.0,
    "margin_errors": 0.0,
    "max_items": 50,
}


class PrimeMethod(MethodSettings):
    """PriME: merge weights found by a gradient-free search for utility minus `alpha` times a privacy term.

    Objective: `utility` is the task's normalised metric, the `sum` of its two raw metrics (as published) or
    the `log-likelihood` of the right answer; `privacy` is agreement with the sharers' outputs (as
    published), the agreement beyond the base's, closeness of answer distributions, the norm of the change,
    or the calibrated membership gap on the records set aside by `sharers.calibration`. Decoding is greedy
    unless `sampling` is given.

    Search: `budget` counts candidate weights, the `starts` included; `population: null` is the optimiser's
    own; `sigma` is the first step, `bound` the largest weight; `per_layer` searches one weight per sharer
    and layer; `racing` drops hopeless candidates early.

    Result: `selection_fraction` of the history is held out to choose among the best candidates; the base is
    kept unless the gain there exceeds `margin` plus `margin_errors` paired standard errors. That is lenient:
    the best of several finalists passes half an error by chance alone more often than not; raise it where a
    merge that gains nothing costs privacy. `choice: recommendation` takes the optimiser's own point instead,
    as published. `max_items` keeps the latest items.

    `preset: official` sets all of these as published (id `official`); keys given beside it win.
    """

    kind: Literal["prime"] = "prime"
    id: Id = "prime"
    preset: Literal["official"] | None = None
    alpha: NotNegative = 0.1
    utility: Literal["metric", "sum", "log-likelihood"] = "metric"
    privacy: Literal["similarity", "excess-similarity", "distribution", "norm", "membership-gap", "none"] = (
        "similarity"
    )
    sampling: SamplingConfig | None = None
    space: Space = "exact"
    per_layer: bool = False
    optimiser: OptimiserName = "cma"
    budget: Count = 40
    population: Annotated[int, Field(ge=2)] | None = None
    sigma: Positive = 0.3
    bound: Positive = 1.5
    starts: Annotated[tuple[Start, ...], ListIsTuple] = ("base", "sharers", "uniform", "similarity")
    racing: RacingConfig | None = None
    selection_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.4
    choice: Literal["best", "recommendation"] = "best"
    margin: NotNegative = 0.0
    margin_errors: NotNegative = 0.5
    max_items: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("preset") == "official":
            return {**OFFICIAL, "id": "official", **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.choice == "best" and self.selection_fraction == 0:
            raise ValueError("'choice: best' needs a selection_fraction above 0")
        if self.racing is not None and self.utility == "sum":
            raise ValueError("'racing' compares item by item, which 'utility: sum' does not allow")
        return self


AnyMethod = (
    PretrainedMethod
    | BaseMethod
    | RagMethod
    | ProfileMethod
    | ProfileRagMethod
    | InContextMethod
    | OppuMethod
    | OppuRagMethod
    | OppuProfileMethod
    | PooledMethod
    | AdaptMergedMethod
    | NearestMethod
    | UniformMethod
    | TaskArithmeticMethod
    | SimilarityMethod
    | TiesMethod
    | DareMethod
    | LoraHubMethod
    | PerPcsMethod
    | PrimeMethod
    | RandomWeightsMethod
    | NormMatchedMethod
    | RescaledMethod
    | FixedWeightsMethod
)
MethodKind = Literal[
    "pretrained",
    "base",
    "rag",
    "profile",
    "profile-rag",
    "in-context",
    "oppu",
    "oppu-rag",
    "oppu-profile",
    "pooled",
    "adapt-merged",
    "nearest",
    "uniform",
    "task-arithmetic",
    "similarity",
    "ties",
    "dare",
    "lorahub",
    "per-pcs",
    "prime",
    "official",
    "random-weights",
    "norm-matched",
    "rescaled",
    "fixed-weights",
]
