"""Plans the designs that train modules of their own: shadows of sharers, swapped records, two pools."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from prime_audit.config import MethodConfig
from prime_audit.study import pooling, shading, swapping
from prime_audit.study.audited import attacked_merges, on_merge, remade_merges
from prime_audit.study.control_names import OWN_MODULE
from prime_audit.study.identity import identity_of
from prime_audit.study.planner import Planner, alone, digest_items
from prime_audit.study.remaking import bound_to_records, named_by
from prime_audit.study.units import Output, Outputs


def plan_shadows(planner: Planner, adapted: Sequence[str], gates: Sequence[str]) -> None:
    """Plans shadows of the sharers, and merges of them.

    Args:
        planner: Holds the units that these follow.
        adapted: Name of the unit that adapts the base, if there is one.
        gates: Names of the units that train the sharers' gates.
    """
    bench, settings = planner.bench, planner.config.audit.shadows
    if settings is None:
        return
    shadows = _train_shadows(planner, adapted)
    scored = {
        **planner.histories(),
        "shadows": settings.model_dump(mode="json"),
        "passes": planner.config.audit.passes.model_dump(mode="json", exclude={"methods", "targets"}),
    }
    if "own-module" in planner.config.audit.run_controls:
        for user in bench.shadows.keep:
            name = f"shade/{OWN_MODULE}/{user}"
            needs = tuple(one for one in shadows if one.startswith(f"shadow/{user}/"))
            planner.add(name, scored, needs, partial(alone, shading.shade_own, bench, name, user))
    for method, target in attacked_merges(planner):
        if named_by(method) is not None or (settings.weights == "remade" and bound_to_records(method)):
            continue
        name = f"shade/{method.id}/{target}"
        needs = (f"deploy/{method.id}/{target}", *shadows, *planner.base_needs(True, ""), *gates)
        run = on_merge(partial(shading.shade_merge, bench, name), method, target)
        planner.add(name, {**scored, "code": identity_of(method)}, needs, run)


def _train_shadows(planner: Planner, adapted: Sequence[str]) -> list[str]:
    bench, names = planner.bench, []
    for user, keep in bench.shadows.keep.items():
        for shadow in range(len(keep)):
            name = shading.shadow_unit(user, shadow)
            items = digest_items(bench.shadows.members(bench.dataset.user(user), shadow))
            run = partial(alone, shading.train_shadow, bench, user, shadow)
            planner.add(name, {**planner.training(), "items": items}, adapted, run)
            names.append(name)
    return names


def plan_swaps(
    planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]
) -> None:
    """Plans modules with one record swapped, and merges with them.

    Args:
        planner: Holds the units that these follow.
        adapted: Name of the unit that adapts the base, if there is one.
        trained: Names of the units that train the sharers' modules.
        gates: Names of the units that train their gates.
    """
    bench, settings = planner.bench, planner.config.audit.swaps
    if settings is None:
        return
    part: dict[str, Any] = {
        **planner.training(),
        "swaps": settings.model_dump(mode="json", exclude={"methods"}),
        "data": bench.dataset.digest,
        "calibration": planner.config.sharers.calibration,
        "form": 2,  # of the output; raised where it changes
    }
    names = []
    for user, swaps in bench.swaps.swaps.items():
        swapped = [swapping.swap_unit(user, index) for index in range(len(swaps))]
        for index, name in enumerate(swapped):
            items = digest_items(bench.swaps.members(bench.dataset.user(user), index))
            run = partial(alone, swapping.train_swapped, bench, user, index)
            planner.add(name, {**planner.training(), "items": items}, (*adapted, f"train/{user}"), run)
        if "own-module" in planner.config.audit.run_controls:
            run = partial(alone, swapping.swap_own, bench, user)
            planner.add(f"swapped/{OWN_MODULE}/{user}", part, (f"train/{user}", *swapped), run)
        names += swapped
    for method, target in remade_merges(planner, settings.methods):
        needs = (f"deploy/{method.id}/{target}", *trained, *names, *gates)
        again = on_merge(partial(swapping.swap_merge, bench), method, target)
        planner.add(f"swapped/{method.id}/{target}", {**part, "code": identity_of(method)}, needs, again)


def plan_pools(
    planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]
) -> None:
    """Plans the selection from two pools of sharers, and a merge of each.

    Args:
        planner: Holds the units that these follow.
        adapted: Name of the unit that adapts the base, if there is one.
        trained: Names of the units that train the sharers' modules.
        gates: Names of the units that train their gates.
    """
    bench, settings = planner.bench, planner.config.audit.pools
    if settings is None:
        return
    part = {
        **planner.histories(),
        "per_target": planner.config.sharers.per_target,
        "embedder": bench.embedder_part,
        "form": 2,
    }
    planner.add("select-pools", part, adapted, partial(alone, pooling.select_pools, bench))
    for method, target in remade_merges(planner, settings.methods):

        def run(outputs: Outputs, method: MethodConfig = method, target: str = target) -> Output:
            return pooling.pool_merges(bench, method, target, outputs["select-pools"])

        needs = ("select-pools", *trained, *gates, *planner.base_needs(True, ""))
        own = {**part, "method": method.model_dump(mode="json"), "code": identity_of(method)}
        planner.add(f"pool/{method.id}/{target}", own, needs, run)
