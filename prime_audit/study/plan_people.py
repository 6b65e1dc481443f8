"""Plans what is asked about people rather than records: who is in a merge, and what kind of person it is."""

from collections.abc import Sequence
from functools import partial

from prime_audit.config import MethodConfig
from prime_audit.core import digest_json
from prime_audit.personalize import METHODS
from prime_audit.study import attributes, black_box
from prime_audit.study.planner import Planner, alone, audited_sharers
from prime_audit.study.units import Output, Outputs


def plan_black_box(planner: Planner, adapted: Sequence[str]) -> None:
    """Plans linkage from likelihoods: one pass of each deployed model over all sharers' records.

    Args:
        planner: Holds the units that these follow.
        adapted: Name of the unit that adapts the base, if there is one.
    """
    bench = planner.bench

    def compare(outputs: Outputs) -> Output:
        return black_box.similarities(bench, outputs["select"]["pool"])

    part = {**planner.root, "data": bench.dataset.digest, "embedder": bench.embedder_part}
    planner.add(black_box.SIMILARITY, part, (*adapted, "select"), compare)
    for method, target in _asked(planner):
        name = black_box.black_box_unit(method.id, target)
        deploy = f"deploy/{method.id}/{target}"

        def run(outputs: Outputs, name: str = name, deploy: str = deploy, target: str = target) -> Output:
            scored = audited_sharers(bench, outputs, target)
            pool = outputs["select"]["pool"]
            return black_box.ask_about_sharers(bench, name, outputs[deploy], scored, pool)

        needs = (deploy, f"score/{method.id}/{target}", *planner.base_needs(True, ""))
        planner.add(name, {**planner.histories(), "black-box": 2}, needs, run)


def plan_attributes(planner: Planner, trained: Sequence[str]) -> None:
    """Plans the prediction of sharers' attributes from their modules.

    Args:
        planner: Holds the units that these follow.
        trained: Names of the units that train the sharers' modules.
    """
    known = attributes.study_attributes(planner.bench)
    part = {"attributes": 1, "seed": planner.config.seed, "known": digest_json(known)}
    run = partial(alone, attributes.read_modules, planner.bench)
    planner.add(attributes.MODULES, part, trained, run)


def _asked(planner: Planner) -> list[tuple[MethodConfig, str]]:
    """The merging methods and targets whose models are asked about all sharers."""
    settings = planner.config.audit.linkage_black_box
    wanted, count = (settings.methods, settings.targets) if settings else (None, None)
    targets = [target.id for target in planner.bench.dataset.targets][:count]
    methods = [
        method
        for method in planner.config.methods
        if METHODS[method.kind].subject == "sharer" and (wanted is None or method.id in wanted)
    ]
    return [(method, target) for method in methods for target in targets]
