"""PriME's premise put to the test: do merges that resemble the sharers less also leak less?

The search of each target has evaluated many merges, each with its similarity S(w). Some of them are attacked
with the reference attack on the selected sharers' records, and S is compared with how far members stand out
(d'). Norm and share of the weights move both, so the correlation is also given with these held fixed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.statistics import mean_interval, rank_correlation, standardised_gap
from prime_audit.config import PrimeMethod, StudyConfig
from prime_audit.models import score_tokens
from prime_audit.personalize import Mixture
from prime_audit.results import CI, Metric, N
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench

Floats = NDArray[np.float64]
HELD_FIXED: Mapping[str, tuple[str, ...]] = {"none": (), "norm and share": ("norm", "share")}
ID = "premise.rank_correlation"


# The premise is about outputs: a norm, or a leak that was measured, is no resemblance.
RESEMBLANCE = ("similarity", "excess-similarity", "distribution")


def searching_methods(config: StudyConfig) -> list[PrimeMethod]:
    """Returns the methods whose searches are put to the test: those that penalise resemblance in outputs."""
    return [m for m in config.methods if isinstance(m, PrimeMethod) and m.privacy in RESEMBLANCE]


def attack_candidates(
    bench: Workbench, method: PrimeMethod, deployed: Output, sharers: Sequence[str], count: int
) -> Output:
    """Attacks merges that a target's search has evaluated.

    Args:
        bench: The workbench.
        method: The search's settings.
        deployed: Output of the unit that searched.
        sharers: The sharers selected for the target.
        count: At most so many merges, evenly spaced over the distinct ones in the order of the search.

    Returns:
        Per merge: its similarity ``s``, mean ``d`` over sharers, relative ``norm`` and mean ``share``.
    """
    points = _spaced(deployed["points"], count)
    if not points:
        return {"points": []}
    modules = [bench.module(sharer) for sharer in sharers]
    mixture = Mixture(modules, method.space, per_layer=method.per_layer)
    examples = [bench.examples(sharer) for sharer in sharers]
    every = [example for own in examples for example in own]
    base = np.concatenate([bench.evidence(f"score/base/{sharer}").mean() for sharer in sharers])
    mean_norm = float(np.mean([module.norm() for module in modules]))
    ends = np.cumsum([len(own) for own in examples])[:-1]
    found = []
    for point in points:
        weights = np.array(point["w"])
        rows = np.repeat(mixture.bank_weights(weights[None]), len(every), axis=0)
        loss = bench.config.training.loss
        scores = score_tokens(bench.base, every, loss=loss, adapters=mixture.bank, weights=rows).mean()
        own = np.array(mixture.own_share(weights))
        gaps = [
            _gap(part, bench.member(sharer), weight)
            for part, sharer, weight in zip(np.split(scores - base, ends), sharers, own, strict=True)
        ]
        known = [gap for gap in gaps if gap is not None]
        if known:
            found.append(
                {
                    "s": point["s"],
                    "d": float(np.mean(known)),
                    "norm": float(mixture.norms(weights[None])[0]) / mean_norm,
                    "share": float(np.abs(own).mean() / np.linalg.norm(own)),
                }
            )
    return {"points": found}


def _spaced(points: Sequence[Mapping[str, object]], count: int) -> list[Mapping[str, object]]:
    """Distinct merges of the search part, without the base."""
    distinct = {
        str(point["w"]): point for point in points if point["part"] == "search" and any(_weights(point))
    }
    listed = list(distinct.values())
    places = np.unique(np.linspace(0, len(listed) - 1, min(count, len(listed))).round().astype(int))
    return [listed[i] for i in places]


def _weights(point: Mapping[str, object]) -> list[float]:
    weights = point["w"]
    return list(weights) if isinstance(weights, list) else []


def _gap(scores: Floats, member: NDArray[np.bool_], weight: float) -> float | None:
    """One sharer's d'; a negative weight turns the leak over."""
    gap = standardised_gap(scores[member], scores[~member])
    return gap if gap is None or weight >= 0 else -gap


def premise_metrics(methods: Sequence[str], targets: Sequence[str], outputs: Outputs) -> list[Metric]:
    """Collects the rank correlation of similarity with leakage.

    Args:
        methods: Methods whose candidates were attacked.
        targets: The targets.
        outputs: Outputs of the units ``premise/<method>/<target>``.

    Returns:
        Per method, plain and partial: one value per target and their mean with a t interval over targets.
        Above zero means that merges which resemble the sharers more leak more, which is the premise.
    """
    metrics = []
    for method in methods:
        for name, fixed in HELD_FIXED.items():
            found = {t: _correlation(outputs[f"premise/{method}/{t}"]["points"], fixed) for t in targets}
            known = {target: value for target, value in found.items() if value is not None}
            estimate = mean_interval(np.array(list(known.values())), unit="targets")
            interval = estimate.interval
            why = estimate.reason or ("" if known else "similarity does not vary over the candidates")
            metrics.append(
                _metric(
                    method,
                    name,
                    estimate.value,
                    why,
                    n=_candidates(outputs, method, list(known)),
                    ci=None
                    if interval is None
                    else CI(low=interval.low, high=interval.high, level=interval.level, how=interval.how),
                )
            )
            metrics += [
                _metric(method, name, value, "", target=target, n=_candidates(outputs, method, [target]))
                for target, value in known.items()
            ]
    return metrics


def _candidates(outputs: Outputs, method: str, targets: Sequence[str]) -> N:
    """Counts the merges that were attacked, and for how many targets."""
    attacked = sum(len(outputs[f"premise/{method}/{target}"]["points"]) for target in targets)
    return N(attempted=attacked, scored=attacked, failed=0, users=len(targets))


def _correlation(points: Sequence[Mapping[str, float]], fixed: Sequence[str]) -> float | None:
    columns = {name: np.array([point[name] for point in points]) for name in ("s", "d", *fixed)}
    return rank_correlation(columns["s"], columns["d"], [columns[name] for name in fixed])


def _metric(
    method: str,
    given: str,
    value: float | None,
    reason: str,
    *,
    target: str | None = None,
    n: N | None = None,
    ci: CI | None = None,
) -> Metric:
    return Metric(
        id=ID,
        method=method,
        attack="reference",
        adversary="A1",
        reference="base",
        subject="sharer",
        target=target,
        slice={"given": given},
        value=value,
        status="ok" if value is not None else "undefined",
        reason=reason if value is None or reason else "",
        ci=ci,
        n=n,
        unit="correlation",
    )
