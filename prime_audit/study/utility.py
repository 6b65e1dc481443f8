"""Utility metrics of a study: per method, per target, and as a paired difference from the base."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.statistics import mean_interval, paired_difference
from prime_audit.config import StudyConfig
from prime_audit.data import Dataset
from prime_audit.results import CI, Metric, N
from prime_audit.study.units import Output, Outputs
from prime_audit.utility import score

LOWER_IS_BETTER = frozenset({"mae", "rmse"})


def utility_metrics(config: StudyConfig, dataset: Dataset, outputs: Outputs) -> list[Metric]:
    """Collects the utility of every method.

    Args:
        config: The study.
        dataset: Its users.
        outputs: Outputs of the units ``deploy/<method>/<target>``.

    Returns:
        ``utility.primary`` over all targets and per target, raw metrics, ``utility.delta`` against the base
        (paired over targets), and ``norm.ratio``.
    """
    targets = [target.id for target in dataset.targets]
    deployed = {
        method.id: {target: outputs[f"deploy/{method.id}/{target}"] for target in targets}
        for method in config.methods
    }
    primary = {
        method: np.array([np.mean(by_target[target]["primary"]) for target in targets])
        for method, by_target in deployed.items()
    }
    base = next((method.id for method in config.methods if method.kind == "base"), None)
    metrics = []
    for method, by_target in deployed.items():
        metrics += _primary(method, targets, primary[method], by_target)
        metrics += _raw(method, dataset, by_target)
        if base is not None and method != base:
            metrics.append(_delta(method, base, primary[method], primary[base]))
            metrics += _delta_merged(method, targets, primary, base, by_target)
        ratios = [by_target[target]["norm_ratio"] for target in targets]
        if any(ratios):
            value = float(np.mean(ratios))
            metrics.append(Metric(id="norm.ratio", method=method, value=value, unit="ratio"))
    return metrics


def _primary(
    method: str, targets: Sequence[str], means: NDArray[np.float64], by_target: Mapping[str, Output]
) -> list[Metric]:
    queries = sum(len(by_target[target]["primary"]) for target in targets)
    found = mean_interval(means)
    counts = N(attempted=queries, scored=queries, failed=0, users=len(targets))
    metrics = [
        _utility(
            "utility.primary",
            method,
            float(means.mean()),
            counts,
            ci=_ci(found.interval),
            reason=found.reason,
        )
    ]
    for target, mean in zip(targets, means, strict=True):
        answered = len(by_target[target]["primary"])
        counts = N(attempted=answered, scored=answered, failed=0, users=1)
        metrics.append(_utility("utility.primary", method, float(mean), counts, target=target))
    return metrics


def _raw(method: str, dataset: Dataset, by_target: Mapping[str, Output]) -> list[Metric]:
    """Raw metrics over all queries at once, as LaMP scores them, and over each target's."""
    values: list[tuple[str | None, Mapping[str, float]]] = [(None, _raw_values(dataset, by_target))]
    values += [(target, output["raw"]) for target, output in by_target.items()]
    metrics = []
    for target, raw in values:
        for name, value in raw.items():
            direction = "lower" if name in LOWER_IS_BETTER else "higher"
            fields = {"method": method, "target": target, "value": value, "direction": direction}
            metrics.append(Metric.model_validate({"id": f"utility.{name}", **fields}))
    return metrics


def _raw_values(dataset: Dataset, by_target: Mapping[str, Output]) -> dict[str, float]:
    if dataset.task.kind != "text":
        predictions = [text for target in by_target for text in by_target[target]["outputs"]]
        golds = [query.answer or "" for target in by_target for query in dataset.user(target).queries]
        return dict(sorted(score(dataset.task, predictions, golds).raw.items()))
    # Text metrics are means over queries, so they add up from the targets' own means.
    sizes = np.array([len(output["primary"]) for output in by_target.values()])
    names = next(iter(by_target.values()))["raw"]
    return {
        name: float(np.average([output["raw"][name] for output in by_target.values()], weights=sizes))
        for name in sorted(names)
    }


def _delta(method: str, base: str, values: NDArray[np.float64], others: NDArray[np.float64]) -> Metric:
    found = paired_difference(values, others)
    return _utility(
        "utility.delta",
        method,
        float((values - others).mean()),
        N(users=len(values)),
        ci=_ci(found.interval),
        reference=base,
        reason=found.reason,
    )


def _delta_merged(
    method: str,
    targets: Sequence[str],
    primary: Mapping[str, NDArray[np.float64]],
    base: str,
    by_target: Mapping[str, Output],
) -> list[Metric]:
    """The same difference over the targets that did not fall back, where some did."""
    merged = np.array([not by_target[target]["reverted"] for target in targets])
    if merged.all() or not merged.any():
        return []
    metric = _delta(method, base, primary[method][merged], primary[base][merged])
    return [metric.model_copy(update={"slice": {"targets": "merged"}})]


def _utility(
    name: str,
    method: str,
    value: float,
    counts: N,
    *,
    ci: CI | None = None,
    target: str | None = None,
    reference: str | None = None,
    reason: str = "",
) -> Metric:
    return Metric(
        id=name,
        method=method,
        target=target,
        reference=reference,
        value=value,
        reason=reason,
        ci=ci,
        n=counts,
        direction="higher",
        unit="share",
    )


def _ci(found: object) -> CI | None:
    if found is None:
        return None
    return CI.model_validate({name: getattr(found, name) for name in ("low", "high", "level", "how")})
