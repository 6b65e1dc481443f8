"""The settings of the methods that train a module for a target."""

from typing import Annotated, Literal

from pydantic import Field

from prime_audit.config.prompt_methods import ProfileSettings, RetrievalSettings
from prime_audit.config.section import Count, Id, MethodSettings, NotNegative, Positive


class TrainedSettings(MethodSettings):
    """How a target's module is trained; what is `null` is as in `training`, and so is alpha per rank.

    `early_stopping` sets the latest `held_out` share of the target's IN history aside, stops once the loss
    there has not fallen for `patience` epochs, and keeps the epoch where it was lowest. These records are not
    trained on, but they choose what is deployed: the audit compares neither them nor the held-out records of
    the same time, so `held_out` costs it about that share of either.
    """

    rank: Count | None = None
    alpha: Positive | None = None
    lr: Positive | None = None
    epochs: Count | None = None
    early_stopping: bool = False
    patience: Count = 1
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2


class OppuMethod(TrainedSettings):
    """OPPU: one module trained for each target, on that target's own IN history alone."""

    kind: Literal["oppu"] = "oppu"
    id: Id = "oppu"


class OppuRagMethod(TrainedSettings, RetrievalSettings):
    """OPPU trained and asked with retrieved items in the prompt; a past item sees earlier ones alone."""

    kind: Literal["oppu-rag"] = "oppu-rag"
    id: Id = "oppu-rag"


class OppuProfileMethod(TrainedSettings, ProfileSettings):
    """OPPU trained and asked with words about the person in the prompt, the same ones in every prompt."""

    kind: Literal["oppu-profile"] = "oppu-profile"
    id: Id = "oppu-profile"


class PooledMethod(TrainedSettings):
    """One module per target, trained on the target's IN records together with those of sharers.

    `pool: all` takes every sharer of the study, `selected` those that the merging methods get for this
    target. No other target's records are in it. Early stopping sets records of the target aside, never a
    sharer's.
    """

    kind: Literal["pooled"] = "pooled"
    id: Id = "pooled"
    pool: Literal["all", "selected"] = "all"


class AdaptMergedMethod(TrainedSettings):
    """Merge, then adapt: the similarity-weighted merge, and a small module trained on the target over it.

    `temperature` and `scale` are those of `similarity`.
    """

    kind: Literal["adapt-merged"] = "adapt-merged"
    id: Id = "adapt-merged"
    rank: Count | None = 2
    temperature: Positive = 0.1
    scale: NotNegative = 1.0
