"""Plans what those do who cheat: a merger who crafts a module, a sharer who poses to be selected."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prime_audit.config import MethodConfig
from prime_audit.study import malicious, posing
from prime_audit.study.identity import identity_of
from prime_audit.study.planner import Planner, alone, digest_items
from prime_audit.study.planting import plant_unit
from prime_audit.study.remaking import bound_to_records, named_by
from prime_audit.study.units import Output, Outputs


def plan_malicious(
    planner: Planner,
    attacked: Sequence[tuple[MethodConfig, str]],
    part: Mapping[str, Any],
    needs: Sequence[str],
) -> None:
    """Plans the merges with a crafted module.

    Args:
        planner: Holds the units that these follow.
        attacked: Merging methods and targets whose merges of planted modules are asked about secrets.
        part: What the units that ask them depend on.
        needs: Units that train what is merged.
    """
    bench = planner.bench
    planted = [plant_unit(user) for user in bench.canaries.canaries]
    for method, target in attacked:
        if named_by(method) is not None or bound_to_records(method):
            continue

        def run(
            outputs: Outputs,
            name: str,
            crafted: bool,
            method: MethodConfig = method,
            target: str = target,
        ) -> Output:
            similarity = outputs["select"]["selected"][target]
            return malicious.cheat(bench, name, method, target, similarity, crafted=crafted)

        own = {**part, "code": identity_of(method), "cheat": 2}
        names = (malicious.honest_unit, malicious.cheat_unit)
        for crafted, unit in enumerate(names):
            name = unit(method.id, target)
            # What the method may see is what the honest deployment saw.
            done = partial(run, name=name, crafted=bool(crafted))
            planner.add(name, own, (f"deploy/{method.id}/{target}", *planted, *needs), done)


def plan_posing(
    planner: Planner,
    attacked: Iterable[tuple[MethodConfig, str]],
    adapted: Sequence[str],
    needs: Sequence[str],
) -> None:
    """Plans the merges with a posing sharer among the selected.

    Args:
        planner: Holds the units that these follow.
        attacked: Merging methods and targets.
        adapted: Name of the unit that adapts the base, if there is one.
        needs: Units that train what is merged.
    """
    bench, settings = planner.bench, planner.config.audit.posing
    if settings is None:
        return
    # The unit of the selection, which these need, holds how histories are embedded and compared.
    part = {**planner.histories(), "posing": settings.model_dump(mode="json")}
    planner.add(posing.CLAIM, part, (*adapted, "select"), partial(alone, posing.claim, bench))
    for method, target in attacked:
        if named_by(method) is not None:
            continue

        def run(outputs: Outputs, method: MethodConfig = method, target: str = target) -> Output:
            return posing.pose(bench, method, target, outputs[posing.CLAIM][target])

        own = {
            **part,
            "method": method.model_dump(mode="json"),
            "code": identity_of(method),
            "queries": digest_items(bench.dataset.user(target).queries),
        }
        # What the method may see is what the honest deployment saw.
        waits = (f"deploy/{method.id}/{target}", posing.CLAIM, *needs)
        planner.add(posing.pose_unit(method.id, target), own, waits, run)
