"""Plans what attacks need beyond one pass of each deployed model: further passes, shadows, swaps, pools."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prime_audit.config import MethodConfig
from prime_audit.personalize import METHODS
from prime_audit.study import linking, passing, planting, pooling, prompting, shading, swapping
from prime_audit.study.identity import identity_of
from prime_audit.study.passes import MEASURED, NOT_OF_BASE, parts_needed
from prime_audit.study.plan_malicious import plan_malicious, plan_posing
from prime_audit.study.plan_people import plan_attributes, plan_black_box
from prime_audit.study.planner import (
    OWN_MODULE,
    Planner,
    alone,
    audited_sharers,
    digest_dated,
    digest_items,
    private_part,
    trainer,
    training_part,
)
from prime_audit.study.remaking import bound_to_records, named_by, rerun_method
from prime_audit.study.units import Output, Outputs

PRETRAINED = "control-pretrained"
CONTROL_BASE = "control-base"
POPULATION = "control-population"


def plan_attacks(
    planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]
) -> None:
    """Plans the units of the attacks and designs that a study asks for.

    Args:
        planner: Holds the units that everything here follows.
        adapted: Name of the unit that adapts the base, if there is one.
        trained: Names of the units that train the sharers' modules.
        gates: Names of the units that train their gates.
    """
    audit = planner.config.audit
    parts = parts_needed(audit.attack_ids)
    merging = [m for m in planner.config.methods if METHODS[m.kind].subject == "sharer"]
    if "pretrained" in parts:
        _pretrained(planner)
    if measured := [part for part in parts if part in MEASURED]:
        _passes(planner, measured, adapted)
    if audit.shadows is not None and merging:
        _shadows(planner, adapted, gates)
    if audit.swaps is not None and merging:
        _swaps(planner, adapted, trained, gates)
    if audit.pools is not None and merging:
        _pools(planner, adapted, trained, gates)
    if audit.canaries is not None and merging:
        _canaries(planner, adapted, trained, gates)
    if audit.posing is not None and merging:
        plan_posing(planner, _merged(planner), adapted, (*trained, *gates))
    if audit.linkage and merging:
        _linkage(planner, trained)
    if audit.linkage_black_box is not None and merging:
        plan_black_box(planner, adapted)
    if audit.attributes and merging:
        plan_attributes(planner, trained)
    if audit.prompt_leak:
        _prompts(planner)


def attacked(planner: Planner) -> list[tuple[MethodConfig, str]]:
    """Returns the methods and targets on which passes of their own are run, in the order of the study."""
    return attacked_of(planner.config.methods, planner, planner.config.audit.passes.methods)


def attacked_of(
    methods: Sequence[MethodConfig], planner: Planner, wanted: Sequence[str] | None
) -> list[tuple[MethodConfig, str]]:
    """Returns those of some methods that deploy a module, each with the targets that passes are run for."""
    targets = [target.id for target in planner.bench.dataset.targets][: planner.config.audit.passes.targets]
    chosen = [m for m in methods if METHODS[m.kind].subject and (wanted is None or m.id in wanted)]
    return [(method, target) for method in chosen for target in targets]


def _audited_users(planner: Planner) -> list[str]:
    """The users whose records the base scores."""
    return [name.split("/")[2] for name in planner.keys if name.startswith("score/base/")]


def _pretrained(planner: Planner) -> None:
    for user in _audited_users(planner):
        name = f"score/{PRETRAINED}/{user}"
        run = partial(alone, passing.score_pretrained, planner.bench, name, user)
        planner.add(name, planner.histories(), (f"score/base/{user}",), run)


def _passes(planner: Planner, parts: Sequence[str], adapted: Iterable[str]) -> None:
    bench = planner.bench
    settings = planner.config.audit.passes.model_dump(mode="json", exclude={"methods", "targets"})
    part = {**planner.histories(), "passes": settings, "parts": list(parts), "attacks": 2}
    if "population" in parts:
        name = f"pass/{POPULATION}/base"
        run = partial(alone, passing.pass_population, bench, name, parts)
        planner.add(name, part, tuple(adapted), run)
    _base_passes(planner, part, [one for one in parts if one not in (*NOT_OF_BASE, "population")])
    based = [name for name in planner.keys if name.startswith(f"pass/{CONTROL_BASE}/")]
    for method, target in attacked(planner):
        name, deploy = f"pass/{method.id}/{target}", f"deploy/{method.id}/{target}"

        def run_method(
            outputs: Outputs,
            name: str = name,
            deploy: str = deploy,
            method: MethodConfig = method,
            target: str = target,
        ) -> Output:
            subjects = planner.subjects(outputs, method, target)
            return passing.pass_deployed(bench, name, outputs[deploy], subjects, parts)

        planner.add(name, part, (deploy, f"score/{method.id}/{target}", *based), run_method)
    owned = [name.split("/")[2] for name in planner.keys if name.startswith(f"score/{OWN_MODULE}/")]
    for sharer in owned:
        name = f"pass/{OWN_MODULE}/{sharer}"

        def run_own(outputs: Outputs, name: str = name, sharer: str = sharer) -> Output:
            if sharer not in _asked_about(planner, outputs):
                return passing.pass_nobody(bench, name)
            return passing.pass_own(bench, name, sharer, parts)

        planner.add(name, _limited(planner, part), ("select", f"train/{sharer}", *based), run_own)


def _base_passes(planner: Planner, part: Mapping[str, Any], parts: Sequence[str]) -> None:
    if not parts:
        return
    selection = ("select",) if "select" in planner.keys else ()
    for user in _audited_users(planner):
        name = f"pass/{CONTROL_BASE}/{user}"

        def run(outputs: Outputs, name: str = name, user: str = user) -> Output:
            if user not in _asked_about(planner, outputs):
                return passing.pass_nobody(planner.bench, name)
            return passing.pass_base(planner.bench, name, user, parts)

        planner.add(name, _limited(planner, part), (f"score/base/{user}", *selection), run)


def _limited(planner: Planner, part: Mapping[str, Any]) -> dict[str, Any]:
    """Whom the controls' passes are about depends on which targets are attacked."""
    return {**part, "targets": planner.config.audit.passes.targets}


def _asked_about(planner: Planner, outputs: Outputs) -> set[str]:
    """The users whose records some pass of their own is run on: the targets in question and their sharers."""
    targets = [target.id for target in planner.bench.dataset.targets][: planner.config.audit.passes.targets]
    if "select" not in outputs:
        return set(targets)
    sharers = (sharer for target in targets for sharer in audited_sharers(planner.bench, outputs, target))
    return {*targets, *sharers}


def _shadows(planner: Planner, adapted: Sequence[str], gates: Sequence[str]) -> None:
    bench, settings = planner.bench, planner.config.audit.shadows
    keep, remade = bench.shadows.keep, settings is not None and settings.weights == "remade"
    part = {
        **planner.root,
        **trainer(),
        "training": training_part(planner.config),
    }
    names = []
    for user in keep:
        for shadow in range(len(keep[user])):
            name = shading.shadow_unit(user, shadow)
            items = digest_items(bench.shadows.members(bench.dataset.user(user), shadow))
            planner.add(
                name,
                {**part, "items": items},
                adapted,
                partial(alone, shading.train_shadow, bench, user, shadow),
            )
            names.append(name)
    scored = {
        **planner.histories(),
        "shadows": settings.model_dump(mode="json") if settings else None,
        "passes": planner.config.audit.passes.model_dump(mode="json", exclude={"methods", "targets"}),
    }
    if "own-module" in planner.config.audit.run_controls:
        for user in keep:
            name = f"shade/{OWN_MODULE}/{user}"
            needs = tuple(one for one in names if one.startswith(f"shadow/{user}/"))
            planner.add(name, scored, needs, partial(alone, shading.shade_own, bench, name, user))
    for method, target in attacked(planner):
        if METHODS[method.kind].subject != "sharer" or named_by(method) is not None:
            continue
        if remade and bound_to_records(method):
            continue
        name, deploy = f"shade/{method.id}/{target}", f"deploy/{method.id}/{target}"

        def run(
            outputs: Outputs,
            name: str = name,
            deploy: str = deploy,
            method: MethodConfig = method,
            target: str = target,
        ) -> Output:
            similarity = outputs["select"]["selected"][target]
            return shading.shade_merge(bench, name, method, target, outputs[deploy], similarity)

        needs = (deploy, *names, *planner.base_needs(True, ""), *gates)
        planner.add(name, {**scored, "code": identity_of(method)}, needs, run)


def _swaps(planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]) -> None:
    bench, settings = planner.bench, planner.config.audit.swaps
    part = {
        **planner.root,
        **trainer(),
        "training": training_part(planner.config),
        "swaps": settings.model_dump(mode="json", exclude={"methods"}) if settings else None,
        "data": bench.dataset.digest,
        "calibration": planner.config.sharers.calibration,
        "form": 2,  # of the output; raised where it changes
    }
    names = []
    for user, swaps in bench.swaps.swaps.items():
        for index in range(len(swaps)):
            name = swapping.swap_unit(user, index)
            needs = (*adapted, f"train/{user}")
            items = digest_items(bench.swaps.members(bench.dataset.user(user), index))
            own = {**planner.root, **trainer(), "training": part["training"], "items": items}
            planner.add(name, own, needs, partial(alone, swapping.train_swapped, bench, user, index))
            names.append(name)
        if "own-module" in planner.config.audit.run_controls:
            needs = (f"train/{user}", *(one for one in names if one.startswith(f"swap/{user}/")))
            run_own = partial(alone, swapping.swap_own, bench, user)
            planner.add(f"swapped/{OWN_MODULE}/{user}", part, needs, run_own)
    for method, target in attacked_of(
        _compared(planner, settings.methods if settings else None), planner, None
    ):
        deploy = f"deploy/{method.id}/{target}"

        def run(
            outputs: Outputs, deploy: str = deploy, method: MethodConfig = method, target: str = target
        ) -> Output:
            similarity = outputs["select"]["selected"][target]
            return swapping.swap_merge(bench, method, target, outputs[deploy], similarity)

        needs = (deploy, *trained, *names, *gates)
        planner.add(f"swapped/{method.id}/{target}", {**part, "code": identity_of(method)}, needs, run)


def _pools(planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]) -> None:
    bench, settings = planner.bench, planner.config.audit.pools
    part = {
        **planner.histories(),
        "per_target": planner.config.sharers.per_target,
        "embedder": bench.embedder_part,
        "form": 2,
    }
    planner.add("select-pools", part, adapted, partial(alone, pooling.select_pools, bench))
    for method, target in attacked_of(
        _compared(planner, settings.methods if settings else None), planner, None
    ):

        def run(outputs: Outputs, method: MethodConfig = method, target: str = target) -> Output:
            return pooling.pool_merges(bench, method, target, outputs["select-pools"])

        needs = ("select-pools", *trained, *gates, *planner.base_needs(True, ""))
        own = {**part, "method": method.model_dump(mode="json"), "code": identity_of(method)}
        planner.add(f"pool/{method.id}/{target}", own, needs, run)


def _canaries(planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]) -> None:
    bench, settings = planner.bench, planner.config.audit.canaries
    privacy = planner.config.sharers.privacy
    part = {
        **planner.root,
        "loss": planner.config.training.loss,
        "canaries": settings.model_dump(mode="json") if settings else None,
        "design": bench.canaries.manifest()["commitment"],
        "form": 4,
    }
    planted = []
    for user in bench.canaries.canaries:
        name = planting.plant_unit(user)
        items = (*bench.holdout.members(bench.dataset.user(user)), *bench.canaries.items(user))
        own = {
            **planner.root,
            **trainer(),
            "training": training_part(planner.config),
            "items": digest_items(items),
            **private_part(privacy),
        }
        planner.add(name, own, adapted, partial(alone, planting.train_planted, bench, user, privacy))
        planted.append(name)
    base = f"expose/{CONTROL_BASE}/all"
    planner.add(base, part, adapted, partial(alone, planting.expose_base, bench, base))
    for user in bench.canaries.canaries:
        name = f"expose/{OWN_MODULE}/{user}"
        run_own = partial(alone, planting.expose_own, bench, name, user)
        planner.add(name, part, (planting.plant_unit(user),), run_own)
    for method, target in attacked(planner):
        if METHODS[method.kind].subject != "sharer":
            continue
        name, deploy = f"expose/{method.id}/{target}", f"deploy/{method.id}/{target}"

        def run(
            outputs: Outputs,
            name: str = name,
            deploy: str = deploy,
            method: MethodConfig = method,
            target: str = target,
        ) -> Output:
            similarity = outputs["select"]["selected"][target]
            return planting.expose_merge(bench, name, method, target, outputs[deploy], similarity)

        needs = (deploy, *planted, *trained, *gates)
        planner.add(name, {**part, "code": identity_of(method)}, needs, run)
    if planner.config.audit.malicious is not None:
        plan_malicious(planner, _merged(planner), part, (*trained, *gates))


def _merged(planner: Planner) -> list[tuple[MethodConfig, str]]:
    """The merging methods and targets on which passes of their own are run."""
    return [(m, t) for m, t in attacked(planner) if METHODS[m.kind].subject == "sharer"]


def _linkage(planner: Planner, trained: Sequence[str]) -> None:
    for method, target in attacked_of(planner.config.methods, planner, None):
        if METHODS[method.kind].subject != "sharer":
            continue
        deploy = f"deploy/{method.id}/{target}"

        def run(
            outputs: Outputs, deploy: str = deploy, method: str = method.id, target: str = target
        ) -> Output:
            return linking.link_deployed(planner.bench, method, target, outputs[deploy])

        planner.add(f"linkage/{method.id}/{target}", {"linkage": 2}, (deploy, *trained), run)


def _prompts(planner: Planner) -> None:
    bench = planner.bench
    for method in (m for m in planner.config.methods if METHODS[m.kind].may_show_history):
        for target in bench.dataset.targets:
            part = {
                **planner.root,
                **prompting.asked(),
                "items": digest_dated(target.history),
                "design": bench.holdout.flips[target.id],
                "code": identity_of(method),
            }
            run = partial(alone, prompting.ask_for_history, bench, method, target.id)
            planner.add(f"prompt/{method.id}/{target.id}", part, (f"deploy/{method.id}/{target.id}",), run)


def _compared(planner: Planner, wanted: Sequence[str] | None) -> list[MethodConfig]:
    """The merging methods that a design makes again: the named ones, or the one of `rerun_method`."""
    if wanted is None:
        return [rerun_method(planner.config)]
    return [method for method in planner.config.methods if method.id in wanted]
