"""Attributes in a study: do modules, merge weights or the choice of sharers say what kind of person it is?"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from attacks import AttributeInference, cosine_kernel, kernel_inference, vote_inference, weights_kernel
from attacks.statistics import Estimate, holm, success_rate
from prime_audit.audit.linkage import as_change
from prime_audit.audit.membership import interval
from prime_audit.data import Attributes, attributes_of
from prime_audit.personalize import METHODS
from prime_audit.results import Gap, Metric, N
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench

MODULES: Final = "attributes/modules"
_SAME: Final = "undefined: the weights are the same for every target"
_NOTHING: Final = "undefined: nothing is merged for any target"


def study_attributes(bench: Workbench) -> Attributes:
    """Returns the attributes of a study's sharers and targets.

    Args:
        bench: The workbench.

    Returns:
        By attribute, the value of every sharer and target; families where the users are generated.
    """
    data = bench.config.data
    return attributes_of(bench.dataset, generated=data.path is None and data.layout == "auto")


def read_modules(bench: Workbench) -> Output:
    """Predicts each sharer's attributes from the sharer's module and those of the others.

    Args:
        bench: The workbench.

    Returns:
        ``found``: by attribute what was found; ``skipped`` with the reasons where nothing is defined.
    """
    users = [sharer.id for sharer in bench.dataset.sharers]
    kernel = cosine_kernel([as_change(module) for module in bench.modules_on_disk(users).values()])
    found: dict[str, dict[str, Any]] = {}
    for name, values in study_attributes(bench).items():
        rng = bench.seeds.generator("attributes", "modules", name)
        one = kernel_inference(kernel, [values[user] for user in users], rng)
        found[name] = {**vars(one), "correct": one.correct.tolist()}
    if all(one["accuracy"] is None for one in found.values()):
        reasons = (f"{name} is {one['reason']}" for name, one in found.items())
        return {"found": found, "skipped": "; ".join(reasons)}
    return {"found": found}


def attribute_metrics(bench: Workbench, outputs: Outputs) -> list[Metric]:
    """Sets the attributes that were guessed beside the most frequent ones.

    About the target there are three sources, which stand apart: the ``choice`` of sharers, each with one vote
    for its own attribute; the ``weights`` without the names of whose they are, from which the attribute is
    learnt over the other targets; and ``both``, where sharers vote with their weights.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; the selection and the deployments are read.

    Returns:
        Per attribute and source ``attribute.accuracy``, ``attribute.majority``, ``attribute.p`` and
        ``attribute.p_holm``, corrected for all of them. Nothing if the study does not ask.
    """
    if MODULES not in outputs:
        return []
    metrics: list[Metric] = []
    for name, found in outputs[MODULES]["found"].items():
        inference = AttributeInference(**{**found, "correct": np.array(found["correct"])})
        metrics += _metrics(name, "modules", inference, len(bench.dataset.sharers))
    for name, values in study_attributes(bench).items():
        metrics += _about_targets(bench, outputs, name, values)
    return [*metrics, *_corrected(metrics)]


def _corrected(metrics: Sequence[Metric]) -> list[Metric]:
    """The p-values corrected for all attributes, sources and methods that were asked (Holm)."""
    known = [m for m in metrics if m.id == "attribute.p" and m.value is not None]
    adjusted = holm([m.value for m in known if m.value is not None])
    reason = f"corrected for {len(known)} tests"
    return [
        m.model_copy(update={"id": "attribute.p_holm", "value": value, "reason": reason})
        for m, value in zip(known, adjusted, strict=True)
    ]


def attribute_gaps(outputs: Outputs) -> list[tuple[Gap, int]]:
    """Says why no attribute could be predicted from modules.

    Args:
        outputs: Outputs of all units.

    Returns:
        A gap, whose reason is empty where there is none, and whether anything was predicted; nothing if the
        study does not ask.
    """
    if MODULES not in outputs:
        return []
    reason = str(outputs[MODULES].get("skipped", ""))
    return [(Gap(id=MODULES, reason=reason), int(not reason))]


def _about_targets(
    bench: Workbench, outputs: Outputs, name: str, values: Mapping[str, str]
) -> Iterator[Metric]:
    targets = [target.id for target in bench.dataset.targets]
    chosen = {target: dict.fromkeys(outputs["select"]["selected"][target], 1.0) for target in targets}
    of = partial(_metrics, name, attempted=len(targets))
    rng = bench.seeds.generator("attributes", "choice", name)
    yield from of("choice", _voted(chosen, values, rng), fitted=False)
    for method in (m.id for m in bench.config.methods if METHODS[m.kind].subject == "sharer"):
        merged = _merged(outputs, method, targets)
        rng = bench.seeds.generator("attributes", "weights", name, method)
        yield from of("weights", _weighed(merged, values, rng), method=method)
        rng = bench.seeds.generator("attributes", "both", name, method)
        yield from of("both", _voted(merged, values, rng), method=method, fitted=False)


def _merged(outputs: Outputs, method: str, targets: Sequence[str]) -> dict[str, dict[str, float]]:
    """By target the weights of its sharers; nothing of a target for whom the base was deployed."""
    found = {}
    for target in targets:
        deployed = outputs[f"deploy/{method}/{target}"]
        if deployed["adapter"] is not None:
            held = dict(zip(deployed["sources"], deployed["weights"], strict=True))
            selected = outputs["select"]["selected"][target]
            found[target] = {user: float(held.get(user, 0.0)) for user in selected}
    return found


def _voted(
    merged: Mapping[str, Mapping[str, float]], values: Mapping[str, str], rng: np.random.Generator
) -> AttributeInference:
    """Every sharer votes for its own attribute with its weight."""
    names = sorted({values[user] for weights in merged.values() for user in weights})
    votes = np.zeros((len(merged), len(names)))
    for row, weights in enumerate(merged.values()):
        for user, weight in weights.items():
            votes[row, names.index(values[user])] += weight
    return vote_inference(votes, [values[target] for target in merged], names, rng)


def _weighed(
    merged: Mapping[str, Mapping[str, float]], values: Mapping[str, str], rng: np.random.Generator
) -> AttributeInference:
    """The weights, without whose they are, are compared between targets."""
    kernel = weights_kernel([list(weights.values()) for weights in merged.values()]) if merged else None
    if kernel is None:
        reason = _SAME if merged else _NOTHING
        return AttributeInference(None, None, None, np.zeros(0), 0, reason)
    return kernel_inference(kernel, [values[target] for target in merged], rng)


def _metrics(
    attribute: str,
    source: str,
    found: AttributeInference,
    attempted: int,
    *,
    method: str | None = None,
    fitted: bool = True,
) -> Iterator[Metric]:
    """The figures of one attribute and source; only guesses that nothing was fitted to have an interval."""
    accuracy = Estimate(found.accuracy, None, found.reason)
    if not fitted and len(found.correct):
        accuracy = Estimate(found.accuracy, success_rate(found.correct).interval, found.reason)
    no_test = found.reason or "no test was made"
    figures = {
        "accuracy": (accuracy, "lower", "share of people"),
        "majority": (Estimate(found.majority, None, found.reason), None, "share of people"),
        "p": (Estimate(found.p, None, no_test if found.p is None else ""), None, "probability"),
    }
    count = len(found.correct)
    for name, (estimate, direction, unit) in figures.items():
        yield Metric.model_validate(
            {
                "id": f"attribute.{name}",
                "method": method,
                # Who was selected, whose weight is whose and what others are like is known to the merger.
                "adversary": "A0",
                "subject": "sharer" if source == "modules" else "target",
                "slice": {"attribute": attribute, "from": source},
                "value": estimate.value,
                "status": "undefined" if estimate.value is None else "ok",
                "reason": estimate.reason,
                "ci": interval(estimate),
                "n": N(attempted=attempted, scored=count, failed=0, users=count),
                "direction": direction,
                "unit": unit,
            }
        )
