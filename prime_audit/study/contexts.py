"""What a method of a study may see of one target, and what other methods deployed for the same one."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from prime_audit.config import MethodConfig, ProfileSettings
from prime_audit.core import Seeds
from prime_audit.modules import LoraModule, read_module
from prime_audit.personalize import METHODS, Outcome, TargetContext
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench, own_unit


def outcome(bench: Workbench, method: str, target: str, deployed: Output) -> Outcome:
    """Tells a control what another method deployed, read back from the run directory when it asks.

    Args:
        bench: The workbench.
        method: The other method's id.
        target: The target.
        deployed: Output of the other method's unit for this target.

    Returns:
        Its weights, its norm and a reader of its adapter.
    """

    def adapter() -> LoraModule | None:
        return read_module(bench.adapter_path(method, target)) if deployed["adapter"] is not None else None

    weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    return Outcome(weights=weights, norm=deployed["norm"], adapter=adapter)


def context_of(
    bench: Workbench,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    others: Mapping[str, Outcome] = MappingProxyType({}),
) -> TargetContext:
    """Collects what a method may see of a target.

    Args:
        bench: The workbench.
        method: The method.
        target: The target.
        similarity: The sharers that it may merge, most similar first, with their cosines.
        others: What other methods deployed for this target.

    Returns:
        The context; no record that the audit holds out is in it.
    """
    user = bench.dataset.user(target)
    pool = getattr(method, "pool", "selected") if METHODS[method.kind].pools else None
    sharing = [one.id for one in bench.dataset.sharers if pool == "all" or one.id in similarity]
    given = isinstance(method, ProfileSettings) and method.source == "given"
    return TargetContext(
        task=bench.dataset.task,
        target=replace(bench.seen(user), profile_text=user.profile_text if given else None),
        base=bench.base,
        seeds=Seeds(bench.training_seeds.integer("deploy", method.id, target)),
        sharers=tuple(similarity),
        similarity=similarity,
        module=partial(_module, bench, method),
        gates=bench.gates,
        calibration=bench.calibration if similarity and bench.config.sharers.calibration else None,
        loss=bench.config.training.loss,
        others=others,
        training=bench.config.training,
        pooled={one: bench.holdout.members(bench.dataset.user(one)) for one in sharing} if pool else {},
        public=tuple(item for one in bench.dataset.public for item in one.history if item.answer),
        encoders=bench.encoder,
        writer=bench.pretrained,
        memory=bench.memory,
    )


def _module(bench: Workbench, method: MethodConfig, user: str) -> LoraModule:
    """The module of a sharer; of a target, the one that was trained for this method."""
    return (
        bench.own_module(method.id, user) if own_unit(method.id, user) in bench.keys else bench.module(user)
    )
