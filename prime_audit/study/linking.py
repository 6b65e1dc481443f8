"""Linkage in a study: does an adapter that was deployed give away whose modules are in it?"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from attacks import link
from attacks.statistics import Estimate, auc, success_rate
from prime_audit.audit.linkage import as_change
from prime_audit.audit.membership import interval
from prime_audit.modules import read_module
from prime_audit.results import Metric, N
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench

_NOTHING: Final = "no adapter was deployed that holds a sharer's module"


def link_deployed(bench: Workbench, method: str, target: str, deployed: Output) -> Output:
    """Compares what a method deployed for one target with the modules of all sharers.

    Args:
        bench: The workbench.
        method: The method's id.
        target: The target.
        deployed: Output of the unit that deployed.

    Returns:
        ``space`` of the best fit, the share of the change that the pool leaves ``unexplained``, and per
        sharer the true ``weight``, the one that was ``found``, the ``score`` and whether the rule ``named``
        the sharer; no sharer where the base was deployed.
    """
    if deployed["adapter"] is None:
        return {"sharers": []}
    merged = as_change(read_module(bench.adapter_path(method, target)))
    modules = bench.modules_on_disk([user.id for user in bench.dataset.sharers])
    linked = link(merged, {user: as_change(module) for user, module in modules.items()})
    weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    return {
        "space": linked.space,
        "unexplained": linked.unexplained,
        "sharers": [
            {
                "sharer": name,
                "weight": float(weights.get(name, 0.0)),
                "found": one.weight.value,
                "score": one.score,
                "named": one.named,
            }
            for name, one in linked.sharers.items()
        ],
    }


def linking_metrics(outputs: Outputs) -> list[Metric]:
    """Sets what linkage found against what the study knows.

    Args:
        outputs: Outputs of all units; those of ``linkage/<method>/<target>`` are read.

    Returns:
        Per method over all pairs of a target and a sharer: ``linkage.recall`` of the merged sharers and
        ``linkage.false_named`` of the others, each averaged over a sharer's pairs first, because these share
        a module and sharers are what is independent; ``linkage.auc`` of the scores, ``linkage.weight_error``
        (mean absolute) and ``linkage.unexplained`` (mean share of the change).
    """
    units: dict[str, list[Mapping[str, Any]]] = {}
    for name, output in outputs.items():
        if name.startswith("linkage/"):
            units.setdefault(name.split("/")[1], []).append(output)
    return [metric for method, found in units.items() for metric in _metrics(method, found)]


def _metrics(method: str, units: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    pairs = [one for unit in units for one in unit["sharers"]]
    merged = np.array([one["weight"] != 0 for one in pairs], dtype=np.bool_)
    scores = np.array([one["score"] for one in pairs], dtype=np.float64)
    n = N(
        attempted=len(units),
        scored=sum(bool(unit["sharers"]) for unit in units),
        failed=0,
        members=int(merged.sum()),
        nonmembers=int((~merged).sum()),
        users=len({one["sharer"] for one in pairs}),
    )
    yield _metric(
        "linkage.recall", method, success_rate(_by_sharer(pairs, merged=True), unit="merged sharers"), n
    )
    others = success_rate(_by_sharer(pairs, merged=False), unit="sharers left out")
    yield _metric("linkage.false_named", method, others, n)
    both = merged.any() and not merged.all()
    area = Estimate(auc(scores[merged], scores[~merged]), None, "") if both else Estimate(None, None, "")
    yield _metric("linkage.auc", method, area, n)
    errors = [abs(one["found"] - one["weight"]) for one in pairs if one["found"] is not None]
    yield _metric("linkage.weight_error", method, _mean(errors), n, "merge weight")
    left = [unit["unexplained"] for unit in units if unit["sharers"]]
    yield _metric("linkage.unexplained", method, _mean(left), n, "share of the change")


def _by_sharer(pairs: Sequence[Mapping[str, Any]], *, merged: bool) -> NDArray[np.float64]:
    """How often each sharer is named, over the targets in whose merge they are, or are not."""
    rates: dict[str, list[bool]] = defaultdict(list)
    for one in pairs:
        if (one["weight"] != 0) is merged:
            rates[one["sharer"]].append(one["named"])
    return np.array([np.mean(named) for named in rates.values()], dtype=np.float64)


def _mean(values: Sequence[float]) -> Estimate:
    return Estimate(float(np.mean(values)), None, "") if values else Estimate(None, None, _NOTHING)


def _metric(name: str, method: str, found: Estimate, n: N, unit: str = "probability") -> Metric:
    return Metric(
        id=name,
        method=method,
        adversary="A1",
        subject="sharer",
        value=found.value,
        status="undefined" if found.value is None else "ok",
        reason=found.reason or ("" if found.value is not None else _NOTHING),
        ci=interval(found),
        n=n,
        direction="higher" if name == "linkage.weight_error" else "lower",
        unit=unit,
    )
