"""Plans what attacks need beyond one pass of each deployed model: further passes, and questions."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prime_audit.config import MethodConfig
from prime_audit.personalize import METHODS
from prime_audit.study import linking, passing, prompting
from prime_audit.study.audited import all_merges, attacked, attacked_merges
from prime_audit.study.control_names import CONTROL_BASE, OWN_MODULE, POPULATION, PRETRAINED
from prime_audit.study.identity import identity_of
from prime_audit.study.passes import MEASURED, NOT_OF_BASE, parts_needed
from prime_audit.study.plan_designs import plan_pools, plan_shadows, plan_swaps
from prime_audit.study.plan_malicious import plan_posing
from prime_audit.study.plan_people import plan_attributes, plan_black_box
from prime_audit.study.plan_secrets import plan_canaries
from prime_audit.study.planner import Planner, alone, audited_sharers, digest_dated
from prime_audit.study.units import Output, Outputs


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
    if "pretrained" in parts:
        _pretrained(planner)
    if measured := [part for part in parts if part in MEASURED]:
        _passes(planner, measured, adapted)
    if any(METHODS[method.kind].subject == "sharer" for method in planner.config.methods):
        _about_merges(planner, adapted, trained, gates)
    if audit.prompt_leak:
        _prompts(planner)


def _about_merges(
    planner: Planner, adapted: Sequence[str], trained: Sequence[str], gates: Sequence[str]
) -> None:
    """Plans what only merging methods are asked; each leaves out what the study does not ask for."""
    plan_shadows(planner, adapted, gates)
    plan_swaps(planner, adapted, trained, gates)
    plan_pools(planner, adapted, trained, gates)
    plan_canaries(planner, adapted, trained, gates)
    plan_posing(planner, attacked_merges(planner), adapted, (*trained, *gates))
    if planner.config.audit.linkage:
        _linkage(planner, trained)
    if planner.config.audit.linkage_black_box is not None:
        plan_black_box(planner, adapted)
    if planner.config.audit.attributes:
        plan_attributes(planner, trained)


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


def _linkage(planner: Planner, trained: Sequence[str]) -> None:
    for method, target in all_merges(planner):
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
