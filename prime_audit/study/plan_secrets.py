"""Plans the canaries: modules with secrets planted in them, and the questions about the secrets."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from prime_audit.study import planting
from prime_audit.study.audited import attacked_merges, on_merge
from prime_audit.study.control_names import CONTROL_BASE, OWN_MODULE
from prime_audit.study.identity import identity_of
from prime_audit.study.plan_malicious import plan_malicious
from prime_audit.study.planner import Planner, alone, digest_items, private_part


def plan_canaries(
    planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]
) -> None:
    """Plans the planted modules, and the questions about their secrets.

    Args:
        planner: Holds the units that these follow.
        adapted: Name of the unit that adapts the base, if there is one.
        trained: Names of the units that train the sharers' modules.
        gates: Names of the units that train their gates.
    """
    bench, settings = planner.bench, planner.config.audit.canaries
    if settings is None:
        return
    part: dict[str, Any] = {
        **planner.root,
        "loss": planner.config.training.loss,
        "canaries": settings.model_dump(mode="json"),
        "design": bench.canaries.manifest()["commitment"],
        "form": 4,
    }
    planted = _plant(planner, adapted)
    base = f"expose/{CONTROL_BASE}/all"
    planner.add(base, part, adapted, partial(alone, planting.expose_base, bench, base))
    for user, unit in planted.items():
        name = f"expose/{OWN_MODULE}/{user}"
        planner.add(name, part, (unit,), partial(alone, planting.expose_own, bench, name, user))
    for method, target in attacked_merges(planner):
        name = f"expose/{method.id}/{target}"
        needs = (f"deploy/{method.id}/{target}", *planted.values(), *trained, *gates)
        run = on_merge(partial(planting.expose_merge, bench, name), method, target)
        planner.add(name, {**part, "code": identity_of(method)}, needs, run)
    if planner.config.audit.malicious is not None:
        plan_malicious(planner, attacked_merges(planner), part, (*trained, *gates))


def _plant(planner: Planner, adapted: Sequence[str]) -> dict[str, str]:
    """Plans one planted module per sharer with canaries; returns the units' names by sharer."""
    bench, privacy = planner.bench, planner.config.sharers.privacy
    planted = {}
    for user in bench.canaries.canaries:
        items = (*bench.holdout.members(bench.dataset.user(user)), *bench.canaries.items(user))
        part = {**planner.training(), "items": digest_items(items), **private_part(privacy)}
        planted[user] = planting.plant_unit(user)
        run = partial(alone, planting.train_planted, bench, user, privacy)
        planner.add(planted[user], part, adapted, run)
    return planted
