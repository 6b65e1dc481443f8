"""Dose-response: does a sharer's share of a merge protect, or the merge's norm?

Every merge of given weights is a dose for every sharer in it: its share ``|wᵢ| / ‖w‖`` and the norm of the
whole change beside the sharers' own. How far the sharer's members stand out (d') is compared with the one
while the other is held fixed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, Attack, missing, usable
from attacks.statistics import mean_interval, rank_correlation, standardised_gap
from prime_audit.audit import Scored
from prime_audit.audit.panel import Flips
from prime_audit.config import FixedWeightsMethod, StudyConfig
from prime_audit.results import CI, Metric, N
from prime_audit.study.units import Outputs

_Dose = dict[str, float]
HELD_FIXED = {"share": ("share", "norm"), "norm": ("norm", "share")}


def dose_metrics(
    config: StudyConfig, outputs: Outputs, scored: Mapping[str, Iterable[Scored]], flips: Flips
) -> list[Metric]:
    """Collects the rank correlation of dose and leakage over the merges of given weights.

    Args:
        config: The study; fewer than three merges of given weights make no dose-response.
        outputs: Outputs of all units.
        scored: Evidence about sharers by method.
        flips: Coin flips by sharer.

    Returns:
        Per attack and dose (``share`` at a fixed norm, ``norm`` at a fixed share): the mean over sharers of
        the partial rank correlation of the dose with d', with a t interval over sharers.
    """
    methods = [m for m in config.methods if isinstance(m, FixedWeightsMethod)]
    if len(methods) < 3:
        return []
    metrics = []
    every = _doses(config.audit.attack_ids, methods, outputs, scored, flips)
    for name, doses in every.items():
        for dose, (varied, fixed) in HELD_FIXED.items():
            found = [_correlation(points, varied, fixed) for points in doses.values()]
            known = np.array([value for value in found if value is not None])
            metrics.append(_metric(name, dose, known, sum(map(len, doses.values()))))
    return metrics


def _doses(
    attack_ids: Sequence[str],
    methods: Sequence[FixedWeightsMethod],
    outputs: Outputs,
    scored: Mapping[str, Iterable[Scored]],
    flips: Flips,
) -> dict[str, dict[str, list[_Dose]]]:
    """By attack and sharer every merge that the sharer is in: the share, the merge's norm, and d'."""
    found: dict[str, dict[str, list[_Dose]]] = {name: defaultdict(list) for name in attack_ids}
    for method in methods:
        for entry in scored[method.id]:
            deployed = outputs[f"deploy/{method.id}/{entry.target}"]
            weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
            (sharer,) = entry.subjects
            weight = weights.get(sharer, 0.0)
            if weight == 0:
                continue
            share = abs(weight) / float(np.linalg.norm(list(weights.values())))
            for name in attack_ids:
                gap = _gap(ATTACKS[name], entry, flips[sharer])
                if gap is not None:
                    # Gaps that differ by rounding alone are one rank: a common factor moves none.
                    dose = {"share": share, "norm": deployed["norm_ratio"], "d": round(gap, 9)}
                    found[name][sharer].append(dose)
    return found


def _gap(attack: Attack, entry: Scored, flips: NDArray[np.bool_]) -> float | None:
    """How far members stand out under one model (d'); None where the attack cannot say."""
    if missing(attack, entry.evidence):
        return None
    mask = usable(attack, entry.evidence)
    kept, member = entry.evidence.take(np.flatnonzero(mask)), flips[mask]
    scores = (1 if attack.oriented else entry.signs[0]) * attack.score(kept)
    return standardised_gap(scores[member], scores[~member])


def _correlation(points: Sequence[dict[str, float]], varied: str, fixed: str) -> float | None:
    columns = {key: np.array([point[key] for point in points]) for key in ("share", "norm", "d")}
    return rank_correlation(columns[varied], columns["d"], [columns[fixed]])


def _metric(attack: str, dose: str, known: NDArray[np.float64], points: int) -> Metric:
    estimate = mean_interval(known, unit="sharers")
    interval = estimate.interval
    needs = ATTACKS[attack].needs
    return Metric(
        id=f"dose.{dose}",
        attack=attack,
        adversary=ATTACKS[attack].threat_model,
        reference="base" if "reference" in needs else None,
        subject="sharer",
        value=estimate.value,
        status="ok" if estimate.value is not None else "undefined",
        reason=estimate.reason if len(known) else "nothing varies beyond what is held fixed",
        ci=None
        if interval is None
        else CI(low=interval.low, high=interval.high, level=interval.level, how=interval.how),
        n=N(attempted=points, scored=points, failed=0, users=len(known)),
        unit="correlation",
    )
