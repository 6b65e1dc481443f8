"""LaMP's metrics, and one utility in [0, 1] per task (LaMP: Salemi et al. 2024, section 3).

Accuracy and macro-F1 for choices, MAE and RMSE for numbers, ROUGE-1 and ROUGE-L for texts. The means of ROUGE
are plain means; LaMP's evaluator reports the middle of a bootstrap of the same quantity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime_audit.data import Task
from prime_audit.utility.rouge import rouge

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UtilityScores:
    """How good some predictions are.

    Attributes:
        primary: The mean of `per_item`, in [0, 1]; higher is better for every task.
        raw: The task's own metrics by name: accuracy and f1, mae and rmse, or rouge_1 and rouge_l.
        per_item: Shape (n,): hit or miss, 1 - error / scale (never below 0), or ROUGE-L.
    """

    primary: float
    raw: Mapping[str, float]
    per_item: Floats


def score(task: Task, predictions: Sequence[str], golds: Sequence[str]) -> UtilityScores:
    """Score predictions against the right answers.

    Args:
        task: The task.
        predictions: What the model said, n texts.
        golds: The right answers, n texts; labels of a choice or number task.

    Returns:
        The scores.

    Raises:
        ValueError: No prediction, unequal numbers, or a gold that is no label of the task.
    """
    if len(predictions) != len(golds) or not golds:
        raise ValueError(f"{len(predictions)} predictions for {len(golds)} golds")
    answers = [gold.strip() for gold in golds]
    if task.labels and not set(answers) <= set(task.labels):
        raise ValueError(f"a gold is not among the labels of {task.id}")
    if task.kind == "choice":
        return _choices(task, [text.strip() for text in predictions], answers)
    if task.kind == "number":
        return _numbers(task, predictions, answers)
    pairs = np.array([rouge(said, gold) for said, gold in zip(predictions, answers, strict=True)])
    raw = {"rouge_1": float(pairs[:, 0].mean()), "rouge_l": float(pairs[:, 1].mean())}
    return UtilityScores(raw["rouge_l"], raw, pairs[:, 1])


def agreement(task: Task, predictions: Sequence[str], others: Sequence[str]) -> Floats:
    """Compare two models' outputs on the same prompts, item by item.

    The measure is that of `score` with the other output in place of the right answer. Invalid outputs (no
    label, no number, no word) agree with nothing, not even with each other.

    Args:
        task: The task.
        predictions: One model's outputs, n texts.
        others: The other's, n texts.

    Returns:
        Shape (n,), in [0, 1].

    Raises:
        ValueError: Unequal numbers of outputs.
    """
    pairs = zip(predictions, others, strict=True)
    if task.kind == "choice":
        return np.array([float(a.strip() == b.strip() and a.strip() in task.labels) for a, b in pairs])
    if task.kind == "text":
        return np.array([rouge(a, b)[1] for a, b in pairs])
    low, high = _scale(task)
    found = []
    for a, b in pairs:
        one, two = _number(a), _number(b)
        alike = 0.0 if one is None or two is None else max(0.0, 1 - abs(one - two) / (high - low))
        found.append(alike)
    return np.array(found)


def _choices(task: Task, predictions: list[str], golds: list[str]) -> UtilityScores:
    """Exact matches, and F1 averaged over all labels of the task whether they occur or not."""
    hits = np.array([float(said == gold) for said, gold in zip(predictions, golds, strict=True)])
    f1 = []
    for label in task.labels:
        both = sum(said == gold == label for said, gold in zip(predictions, golds, strict=True))
        total = predictions.count(label) + golds.count(label)
        f1.append(2 * both / total if total else 0.0)
    raw = {"accuracy": float(hits.mean()), "f1": float(np.mean(f1))}
    return UtilityScores(raw["accuracy"], raw, hits)


def _numbers(task: Task, predictions: Sequence[str], golds: list[str]) -> UtilityScores:
    low, high = _scale(task)
    errors = []
    for text, gold_text in zip(predictions, golds, strict=True):
        gold, said = float(gold_text), _number(text)
        if said is None:
            # LaMP's rule: what is no number counts as the end of the scale that is further away.
            said = low if gold - low > high - gold else high
        errors.append(abs(said - gold))
    error = np.array(errors)
    per_item = np.clip(1 - error / (high - low), 0.0, 1.0)
    raw = {"mae": float(error.mean()), "rmse": float(np.sqrt(np.mean(error**2)))}
    return UtilityScores(float(per_item.mean()), raw, per_item)


def _scale(task: Task) -> tuple[float, float]:
    """The ends of a number task's scale."""
    return float(task.labels[0]), float(task.labels[-1])


def _number(text: str) -> float | None:
    """A finite number, or None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
