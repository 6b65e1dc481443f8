"""Figures of a posing sharer: how often selected, with which weight, and what it costs the target."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from attacks.statistics import Estimate, mean_interval, paired_difference, success_rate
from prime_audit.audit.membership import interval
from prime_audit.results import Metric, N
from prime_audit.study.units import Output, Outputs


def posing_metrics(outputs: Outputs) -> list[Metric]:
    """Sets what a posing sharer gets beside the honest deployment, target by target.

    Args:
        outputs: Outputs of all units; those of ``pose/<method>/<target>`` are read, and the deployed ones.

    Returns:
        Per method ``posing.selected`` (share of the targets that select the poser; without the claim none
        does), ``posing.weight`` (mean merge weight of the poser's module where selected) and
        ``posing.utility`` (primary utility under the claim less the honest one, paired over all targets:
        where the poser is not selected nothing changes). Nothing if the study asks for none.
    """
    units: dict[str, list[tuple[Output, Output]]] = defaultdict(list)
    for name, output in outputs.items():
        if name.startswith("pose/"):
            _, method, target = name.split("/")
            units[method].append((output, outputs[f"deploy/{method}/{target}"]))
    return [metric for method, pairs in units.items() for metric in _metrics(method, pairs)]


def _metrics(method: str, pairs: Sequence[tuple[Output, Output]]) -> Iterator[Metric]:
    posed = [output for output, _ in pairs if output["selected"]]
    selected = np.array([output["selected"] for output, _ in pairs], dtype=np.float64)
    yield _metric("posing.selected", method, success_rate(selected, unit="targets"), len(pairs))
    weights = np.array([output["weight"] for output in posed], dtype=np.float64)
    held = mean_interval(weights, unit="targets that select the poser")
    yield _metric("posing.weight", method, held, len(posed))
    after, before = (
        np.array([np.mean(side["primary"]) for side in sides])
        for sides in zip(*((o if o["selected"] else honest, honest) for o, honest in pairs), strict=True)
    )
    yield _metric("posing.utility", method, paired_difference(after, before), len(pairs))


_UNITS = {
    "posing.selected": "probability",
    "posing.weight": "merge weight",
    "posing.utility": "difference of utilities",
}


def _metric(name: str, method: str, found: Estimate, targets: int) -> Metric:
    return Metric(
        id=name,
        method=method,
        adversary="A4",
        reference=method if name == "posing.utility" else None,
        value=found.value,
        status="undefined" if found.value is None else "ok",
        reason=found.reason,
        ci=interval(found),
        n=N(users=targets),
        direction="higher" if name == "posing.utility" else "lower",
        unit=_UNITS[name],
    )
