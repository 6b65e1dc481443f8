"""On which methods and targets an attack is run that takes passes or modules of its own."""

from collections.abc import Callable, Mapping, Sequence

from prime_audit.config import MethodConfig
from prime_audit.personalize import METHODS
from prime_audit.study.planner import Planner
from prime_audit.study.remaking import rerun_method
from prime_audit.study.units import Output, Outputs

AuditedPair = tuple[MethodConfig, str]
# What is done with a deployed merge: of method, target, output of its unit, similarity of the sharers.
OnMerge = Callable[[MethodConfig, str, Output, Mapping[str, float]], Output]


def attacked(planner: Planner) -> list[AuditedPair]:
    """Returns the methods and targets on which passes of their own are run, in the order of the study."""
    return deployed_modules(planner.config.methods, planner, planner.config.audit.passes.methods)


def attacked_merges(planner: Planner) -> list[AuditedPair]:
    """Returns those of `attacked` that merge sharers' modules."""
    return _merges(attacked(planner))


def all_merges(planner: Planner) -> list[AuditedPair]:
    """Returns every merging method with the targets that passes of their own are run for."""
    return _merges(deployed_modules(planner.config.methods, planner, None))


def remade_merges(planner: Planner, wanted: Sequence[str] | None) -> list[AuditedPair]:
    """Returns the merges that a design makes again.

    Args:
        planner: Holds the study.
        wanted: Ids of the methods; None for the one of `rerun_method`.

    Returns:
        The methods, each with the targets that passes of their own are run for.
    """
    if wanted is None:
        return deployed_modules([rerun_method(planner.config)], planner, None)
    return deployed_modules(planner.config.methods, planner, wanted)


def deployed_modules(
    methods: Sequence[MethodConfig], planner: Planner, wanted: Sequence[str] | None
) -> list[AuditedPair]:
    """Returns those of some methods that deploy a module, each with the targets that passes are run for."""
    targets = [target.id for target in planner.bench.dataset.targets][: planner.config.audit.passes.targets]
    chosen = [m for m in methods if METHODS[m.kind].subject and (wanted is None or m.id in wanted)]
    return [(method, target) for method in chosen for target in targets]


def on_merge(do: OnMerge, method: MethodConfig, target: str) -> Callable[[Outputs], Output]:
    """Returns the run of a unit that does something with what a merging method deployed for a target."""

    def run(outputs: Outputs) -> Output:
        similarity = outputs["select"]["selected"][target]
        return do(method, target, outputs[f"deploy/{method.id}/{target}"], similarity)

    return run


def _merges(pairs: Sequence[AuditedPair]) -> list[AuditedPair]:
    return [(method, target) for method, target in pairs if METHODS[method.kind].subject == "sharer"]
