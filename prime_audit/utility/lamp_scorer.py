"""Scoring a file of predictions as LaMP's evaluator does (Salemi et al. 2024, section 3)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime_audit.data import Dataset, Task, read_predictions
from prime_audit.errors import DataError
from prime_audit.utility.metrics import score
from prime_audit.utility.rouge import rouge

# The settings of rouge-score's aggregator, which LaMP's evaluator uses.
_RESAMPLES = 1000
_SHOWN = 5


def lamp_scores(
    task: Task, predictions: Mapping[str, str], golds: Mapping[str, str], seed: int = 0
) -> dict[str, float]:
    """Score predictions that match the golds one to one.

    Args:
        task: The task.
        predictions: What a model said, by query id.
        golds: The right answers, by query id.
        seed: Of the resampling in LaMP's ROUGE.

    Returns:
        `accuracy` and `f1` of a choice task, `mae` and `rmse` of a number task; of a text task `rouge_1` and
        `rouge_l`, the middle of a bootstrap as LaMP reports it, and `rouge_1_mean` and `rouge_l_mean`, the
        plain means, which need no random numbers.

    Raises:
        DataError: A query has no prediction, or a prediction no query.
    """
    matched = list(golds)
    _check_ids(predictions, golds)
    said, right = [predictions[name] for name in matched], [golds[name] for name in matched]
    if task.kind != "text":
        return dict(score(task, said, right).raw)
    pairs = np.array([rouge(one, gold) for one, gold in zip(said, right, strict=True)])
    middle = bootstrap_middle(pairs, seed)
    mean = pairs.mean(axis=0)
    return {
        "rouge_1": float(middle[0]),
        "rouge_l": float(middle[1]),
        "rouge_1_mean": float(mean[0]),
        "rouge_l_mean": float(mean[1]),
    }


def score_file(path: Path, golds: Path, task: Task, dataset: Dataset | None = None) -> dict[str, object]:
    """Score a file of predictions.

    Args:
        path: The predictions, in LaMP's submission format.
        golds: The answers.
        task: The task of both.
        dataset: The users, to score each target's queries as well.

    Returns:
        `task`, `queries`, `metrics` over all queries, and `users` by target where the users are given.

    Raises:
        DataError: A file is broken, or predictions, golds and users do not match one to one.
    """
    said, right = read_predictions(path, golds, task)
    if not right:
        raise DataError(f"{golds}: holds no gold")
    found: dict[str, object] = {
        "task": task.id,
        "queries": len(right),
        "metrics": lamp_scores(task, said, right),
    }
    if dataset is None:
        return found
    owners = {query.id: target.id for target in dataset.targets for query in target.queries}
    if set(owners) != set(right):
        raise DataError(f"{golds}: these golds are not those of the users' queries", hint="check --data")
    users: dict[str, dict[str, float]] = {}
    for target in dataset.targets:
        own = {query.id: right[query.id] for query in target.queries}
        users[target.id] = lamp_scores(task, {name: said[name] for name in own}, own)
    return {**found, "users": users}


def bootstrap_middle(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the median over resamples of the means of some scores.

    LaMP's evaluator takes it for ROUGE (the `mid` of rouge-score's `BootstrapAggregator`), with random
    numbers that nobody seeds, one draw for each kind of ROUGE; here all kinds share one seeded draw.

    Args:
        values: Shape `(n, k)`.
        seed: Of the resampling.

    Returns:
        Shape `(k,)`.
    """
    # The old generator, so that rouge-score gives the same figures under the same seed.
    rng = np.random.RandomState(seed)
    means = np.empty((_RESAMPLES, values.shape[1]))
    for row in range(_RESAMPLES):
        means[row] = values[rng.choice(np.arange(len(values)), size=len(values))].mean(axis=0)
    middle: NDArray[np.float64] = np.percentile(means, 50, axis=0)
    return middle


def _check_ids(predictions: Mapping[str, str], golds: Mapping[str, str]) -> None:
    missing = [name for name in golds if name not in predictions]
    unknown = [name for name in predictions if name not in golds]
    faults = [
        *_first(missing, "queries have no prediction"),
        *_first(unknown, "predictions are about no query"),
    ]
    if faults:
        raise DataError(
            f"predictions and golds do not match one to one: {'; '.join(faults)}",
            hint="LaMP's scorer takes a prediction for every query and no other",
        )


def _first(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > _SHOWN else ""
    return [f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"]
