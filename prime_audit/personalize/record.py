"""What is known about one personalisation outside of a study, and what is handed back of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prime_audit.config import MethodSettings
from prime_audit.modules import LoraModule
from prime_audit.personalize.types import Method, Personalisation, TargetContext


@dataclass(frozen=True)
class Measured:
    """Utility in [0, 1] of the base and of what was deployed, on the same items."""

    items: int
    base: float
    deployed: float


@dataclass(frozen=True)
class Deployed:
    """What `personalize` wrote.

    Attributes:
        out: The folder.
        method: The method's id.
        reverted: Whether the method fell back to the base; there is no adapter then.
        reason: Why, or an empty string.
        adapter: Digest of the adapter, or None.
        norm_ratio: Norm of the adapter's change over the mean norm of the merged modules'.
        utility: By the items it was measured on: ``history`` (all of it, which the method has seen),
            ``selection`` (the part that chose the result), ``queries`` (unseen, where the file has them).
    """

    out: Path
    method: str
    reverted: bool
    reason: str
    adapter: str | None
    norm_ratio: float
    utility: Mapping[str, Measured]


@dataclass(frozen=True)
class Record:
    """Everything that is known when a personalisation is written.

    Attributes:
        base: The base model's name, without the way to its folder.
        base_digest: Digest of its files.
        adaptation: The module merged into the base first (or beside it, if it is in 4 bits), if there is one.
        context: What the method was given: task, target, and the sharers, best alone first.
        kind: The method.
        settings: Its settings.
        seed: Its seed.
        modules: All adapters that were read, by sharer.
        alone: Utility on the history of each of them alone.
        deployed: What the method returned, its adapter in the form that was asked for.
        form: Words on that form; empty for the base.
        utility: See `Deployed`.
    """

    base: str
    base_digest: str
    adaptation: LoraModule | None
    context: TargetContext
    kind: Method
    settings: MethodSettings
    seed: int
    modules: Mapping[str, LoraModule]
    alone: Mapping[str, float]
    deployed: Personalisation
    form: str
    utility: Mapping[str, Measured]

    @property
    def reverted(self) -> bool:
        """Whether the base is what is deployed."""
        return self.deployed.adapter is None

    @property
    def reason(self) -> str:
        """Why the base is deployed, or an empty string."""
        return (self.deployed.reason or "the method deployed no adapter") if self.reverted else ""

    @property
    def norm_ratio(self) -> float:
        """Frobenius norm of the deployed change over the mean of its sources' norms; 0 for the base."""
        if self.deployed.adapter is None:
            return 0.0
        sources = self.deployed.sources or self.context.sharers
        mean = float(np.mean([self.modules[name].norm() for name in sources]))
        return round(self.deployed.adapter.norm() / mean, 10) if mean else 0.0
