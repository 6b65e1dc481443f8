"""What a method is given about one target, and what it hands back: a personalisation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prime_audit.core import Seeds
from prime_audit.data import Item, Task, User
from prime_audit.models import LanguageModel, predict
from prime_audit.modules import AdapterBank, LoraModule

PromptBuilder = Callable[[Item], str]


@dataclass(frozen=True)
class SearchPoint:
    """One evaluated candidate of a search over merge weights.

    Attributes:
        weights: Merge weights, one per sharer.
        utility: U(w), mean normalised task metric in [0, 1].
        similarity: S(w), mean agreement with the sharers' own outputs in [0, 1].
        part: ``search`` or ``selection``: the part of the target's history it was evaluated on.
    """

    weights: tuple[float, ...]
    utility: float
    similarity: float
    part: str


@dataclass(frozen=True)
class Personalisation:
    """What is deployed for one target.

    Attributes:
        prompt: Turns a query into the prompt that the deployed model reads.
        modules: The modules that the deployed adapter is merged from; empty for the plain model.
        weights: Merge weights, one per module.
        sources: The users whose modules those are.
        on_pretrained: True if the model is the pretrained one instead of the task-adapted base.
        reverted: True if the method fell back to the base.
        reason: Why it fell back, or an empty string.
        points: Every evaluated candidate, in order, if the method searched.
        chosen: Position in ``points`` of the deployed candidate, or None.
    """

    prompt: PromptBuilder
    modules: tuple[LoraModule, ...] = ()
    weights: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    on_pretrained: bool = False
    reverted: bool = False
    reason: str = ""
    points: tuple[SearchPoint, ...] = ()
    chosen: int | None = None


@dataclass(frozen=True)
class TargetContext:
    """Everything a method may see of one target. It never holds a record that was held out.

    Attributes:
        task: The task that is personalised.
        target: The target; its history is the IN half alone.
        base: The task-adapted base model.
        seeds: Seeds of this method and target.
        sharers: The sharers selected for this target, most similar first.
        similarity: Their cosine similarities with the target.
        module: Loads a user's trained module.
    """

    task: Task
    target: User
    base: LanguageModel
    seeds: Seeds
    sharers: tuple[str, ...] = ()
    similarity: Mapping[str, float] = field(default_factory=dict)
    module: Callable[[str], LoraModule] | None = None

    def load(self, user: str) -> LoraModule:
        """Returns the trained module of ``user``."""
        if self.module is None:
            raise ValueError("this context holds no modules")
        return self.module(user)

    def plain_prompt(self, item: Item) -> str:
        """Returns the task's prompt for ``item`` without any personal context."""
        return self.task.prompt(item.input)


@dataclass(frozen=True)
class Method:
    """One way to personalise: its kind, its family and the function that does it.

    Attributes:
        kind: The name used in study files.
        family: ``prompt``, ``training`` or ``merging``.
        label: A short human name.
        personalise: The function; it takes the target's context and the method's settings.
        needs_own_module: True if the target's own module must be trained first.
        source: Where the method is described.
    """

    kind: str
    family: str
    label: str
    personalise: Callable[[TargetContext, Any], Personalisation]
    needs_own_module: bool = False
    source: str = ""


def predict_rows(
    model: LanguageModel,
    task: Task,
    prompts: Sequence[str],
    modules: Sequence[LoraModule],
    weights: Sequence[float],
) -> list[str]:
    """Predicts every prompt with one and the same merge of modules.

    Args:
        model: The model the modules belong to.
        task: The task; it decides between label scoring and decoding.
        prompts: Complete prompts.
        modules: Modules to merge; none means the plain model.
        weights: One weight per module.

    Returns:
        One prediction per prompt.
    """
    if not modules:
        return predict(model, task, prompts)
    rows = np.tile(np.asarray(weights, dtype=np.float64), (len(prompts), 1))
    return predict(model, task, prompts, adapters=AdapterBank(modules), weights=rows)
