"""The plan of a study: every unit with its key, known before any compute."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from prime_audit.config import MethodConfig, StudyConfig
from prime_audit.core import default_store
from prime_audit.models import model_outline
from prime_audit.personalize import METHODS
from prime_audit.study import work
from prime_audit.study.costs import COUNTED, count_tokens_of_sharers
from prime_audit.study.disk import Room, estimate
from prime_audit.study.feasible import check_feasible
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.plan_attacks import plan_attacks
from prime_audit.study.planner import Planner, digest_people
from prime_audit.study.remaking import named_by
from prime_audit.study.store import Store
from prime_audit.study.units import Unit
from prime_audit.study.workbench import Workbench, own_unit


def plan(bench: Workbench, model: Mapping[str, str]) -> list[Unit]:
    """Plans a whole study and gives the workbench the keys of its units.

    With ``sharers.representatives`` the sharers outside of the pool are trained and scored too: who is in
    the pool is known only after the base is adapted, and a plan is known before any compute.

    Args:
        bench: The workbench.
        model: Digest of the pretrained model's files, its dtype and device.

    Returns:
        Units in an order in which each follows what it needs.

    Raises:
        ConfigError: If the study asks for what its data cannot give.
    """
    config, dataset = bench.config, bench.dataset
    check_feasible(bench)
    planner = Planner(bench, model)
    adapted = planner.adapt()
    merging = any("sharer" in METHODS[method.kind].about for method in config.methods)
    owning = [method for method in config.methods if METHODS[method.kind].needs_own_module]
    sharers = [sharer.id for sharer in dataset.sharers] if merging else []
    targets = [target.id for target in dataset.targets]
    trained = [planner.train(sharer, adapted, config.sharers.privacy) for sharer in sharers]
    gated: Any = next((m for m in config.methods if METHODS[m.kind].needs_gates), None)
    gates = [planner.gate(sharer, gated) for sharer in sharers] if gated else []
    if merging:
        _select(planner, adapted)
    for method in owning:
        for target in targets:
            planner.own(method, target, adapted)
    about_targets = any("target" in METHODS[method.kind].about for method in config.methods)
    planner.base_scores([*sharers, *(targets if about_targets else [])], adapted)
    # A control follows the method that it is built from, wherever the study lists it.
    for method in sorted(config.methods, key=lambda method: named_by(method) is not None):
        shared = [*trained, *gates] if METHODS[method.kind].needs_gates else trained
        for target in targets:
            planner.evaluate(method, target, _needs(method, target, adapted, shared))
    if merging and "own-module" in config.audit.run_controls:
        planner.own_modules()
    if merging and "placebo" in config.audit.run_controls:
        planner.placebos()
    if merging and "without-sharer" in config.audit.run_controls:
        planner.without_sharers(trained)
    if config.audit.premise is not None:
        planner.premises(config.audit.premise)
    plan_attacks(planner, adapted, trained, gates)
    return planner.units


def _select(planner: Planner, adapted: list[str]) -> None:
    """Plans what is known of all sharers: whom each target selects, and how much there is to train on."""
    bench, config = planner.bench, planner.config
    part = {
        "per_target": config.sharers.per_target,
        "embedder": bench.embedder_part,
        "representatives": config.sharers.representatives,
    }
    histories = digest_people(bench.seen(user) for user in bench.dataset.users)
    counted = {**planner.root, "loss": config.training.loss, "histories": histories}
    planner.add(COUNTED, counted, adapted, lambda outputs: count_tokens_of_sharers(bench))
    selected = {**planner.root, **part, "histories": histories}
    planner.add("select", selected, adapted, lambda outputs: work.select(bench))


def _needs(method: MethodConfig, target: str, adapted: list[str], shared: list[str]) -> list[str]:
    kind, of = METHODS[method.kind], named_by(method)
    about = [*shared, "select"] if "sharer" in kind.about else []
    own = [own_unit(method.id, target)] if kind.needs_own_module else []
    return [*adapted, *own, *about, *([f"deploy/{of}/{target}"] if of else [])]


def _planned(config: StudyConfig) -> tuple[Workbench, list[Unit]]:
    dataset = load_dataset(config)
    bench = Workbench(config, dataset, draw_design(config, dataset), Store(default_store()), default_store())
    return bench, plan(bench, {})


def describe_room(config: StudyConfig) -> Room:
    """Estimates from above what a study writes to the disk, without loading the weights of a model.

    Args:
        config: The study.

    Returns:
        The bytes, as if nothing of it were there yet.

    Raises:
        ModelError: The model's configuration is not at hand.
    """
    bench, units = _planned(config)
    return estimate(bench, units, model_outline(config.model, bench.store.root))


def describe_plan(config: StudyConfig) -> list[tuple[str, int]]:
    """Counts a study's units by stage without loading a model.

    Args:
        config: The study.

    Returns:
        Stage and number of units, in the order in which they run.
    """
    return list(Counter(unit.stage for unit in _planned(config)[1]).items())
