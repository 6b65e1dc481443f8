"""Linkage as metrics: which sharers' modules are in an adapter, and with which coefficients."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from attacks import Change, Linkage, Linked
from attacks.gram_fit import RIDGE
from attacks.linkage import LEVEL
from prime_audit.modules import LoraModule
from prime_audit.results import CI, AttackInfo, Metric, N

LINKAGE: Final = "linkage"


class _Arrays(Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]):
    """A module's factors as arrays; those that lie on disk are read when they are asked for."""

    def __init__(self, module: LoraModule) -> None:
        self._factors = module.factors

    def __getitem__(self, layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        a, b = self._factors[layer]
        return a.numpy(), b.numpy()

    def __contains__(self, layer: object) -> bool:
        return layer in self._factors

    def __iter__(self) -> Iterator[str]:
        return iter(self._factors)

    def __len__(self) -> int:
        return len(self._factors)


def as_change(module: LoraModule) -> Change:
    """Returns a module as the attacks on adapters read it; nothing is copied."""
    return Change(_Arrays(module), module.scaling)


def linkage_info(linked: Linkage) -> AttackInfo:
    """Describes the attack as it was run.

    Args:
        linked: What was found.

    Returns:
        The attack, with the rule's threshold among its params.
    """
    return AttackInfo(
        id=LINKAGE,
        kind=LINKAGE,
        threat_model="A1",
        needs=("adapter", "pool"),
        source="least squares on inner products of factors",
        version=2,
        params={
            "space": linked.space,
            "threshold": linked.threshold,
            "least_cosine": linked.least,
            "level": LEVEL,
            "ridge": RIDGE,
        },
    )


def linkage_metrics(method: str, linked: Linkage, target: str | None = None) -> list[Metric]:
    """Writes what was found as metrics: over the pool, and per sharer.

    Args:
        method: Whose adapter it is.
        linked: What was found.
        target: The target that it was made for, in a study.

    Returns:
        The metrics.
    """
    singular = linked.condition > 1 / RIDGE**2
    about: dict[str, Any] = {
        "method": method,
        "attack": LINKAGE,
        "adversary": "A1",
        "subject": "sharer",
        "target": target,
    }
    count = N(users=len(linked.sharers))
    metrics = [
        Metric(
            id="linkage.unexplained", value=linked.unexplained, unit="share of the change", n=count, **about
        ),
        Metric(
            id="linkage.condition",
            value=None if singular else linked.condition,
            status="undefined" if singular else "ok",
            reason="the candidates are linearly dependent" if singular else "",
            n=count,
            **about,
        ),
    ]
    for name, sharer in linked.sharers.items():
        metrics += _sharer_metrics(sharer, linked.layers, {**about, "user": name})
    return metrics


def _sharer_metrics(sharer: Linked, layers: int, about: dict[str, Any]) -> list[Metric]:
    interval = sharer.weight.interval
    ci = None if interval is None else CI(**vars(interval))
    factors = () if sharer.factors is None else zip("AB", sharer.factors, strict=True)
    return [
        Metric(id="linkage.weight", value=sharer.weight.value, ci=ci, reason=sharer.weight.reason, **about),
        Metric(
            id="linkage.score", value=sharer.score, unit="standard deviations", direction="lower", **about
        ),
        Metric(id="linkage.cosine", value=sharer.cosine, unit="cosine", direction="lower", **about),
        Metric(id="linkage.named", value=float(sharer.named), unit="1 if named, else 0", **about),
        Metric(id="linkage.votes", value=float(sharer.votes), unit=f"layers of {layers}", **about),
        *(
            Metric(id="linkage.factor", value=value, slice={"factor": side}, **about)
            for side, value in factors
        ),
    ]
