"""What a method is given about one target, and what it hands back: a personalisation."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import MethodSettings, TrainingConfig
from prime_audit.core import Seeds
from prime_audit.data import Item, Task, User
from prime_audit.models import Example, LanguageModel, Meter, predict
from prime_audit.modules import AdapterBank, LoraModule
from prime_audit.personalize.augmenting import Fit
from prime_audit.personalize.search_log import SearchLog

# The part of a point that was measured after the search, outside of its budget.
CHECK = "check"

PromptBuilder = Callable[[Item], str]
Subject = Literal["sharer", "target"]
Note = str | float | int | bool
Encode = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True)
class SearchPoint:
    """One evaluated candidate of a search over merge weights.

    Attributes:
        weights: Merge weights, one per sharer; or one per sharer and layer, sharer by sharer.
        utility: U(w), mean normalised task metric in [0, 1] or whatever the objective maximises.
        similarity: S(w), the privacy term; in [0, 1] where it is the agreement with the sharers' outputs.
        part: ``search`` or ``selection``: the part of the target's history it was evaluated on; ``check`` for
            what was measured on the search part after the search had ended.
        items: How many items of that part it was evaluated on; fewer than all if it was raced out.
    """

    weights: tuple[float, ...]
    utility: float
    similarity: float
    part: str
    items: int = 0


@dataclass(frozen=True)
class Personalisation:
    """What is deployed for one target.

    Attributes:
        prompt: Turns a query into the prompt that the deployed model reads.
        adapter: The deployed adapter; None for the plain model.
        sources: The users whose modules the adapter is made from.
        weights: How much of each source's own change ``s B A`` the adapter holds; its sign says whether the
            source's leak is turned over.
        on_pretrained: True if the model is the pretrained one instead of the base.
        reverted: True if the method fell back to the base.
        reason: Why it fell back, or an empty string.
        points: Every evaluated candidate, in order, if the method searched.
        chosen: Position in ``points`` of the deployed candidate, or None.
        notes: What else the report should say, by name: the optimiser chosen, an SVD's error, and so on.
        fit: What the prompt of a query had room for; None if prompts hold nothing of anybody.
        private: Texts in every prompt that were made from the target's history and are no record of it, such
            as a profile.
        kept: Texts that must be kept for this person to answer further queries.
        tried: How many settings were compared on the target's history; None counts the distinct ``points``.
        aside: How many of the target's latest records chose what is deployed while its adapter was trained on
            the others. A module trained beforehand (``needs_own_module``) counts its own.
    """

    prompt: PromptBuilder
    adapter: LoraModule | None = None
    sources: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    on_pretrained: bool = False
    reverted: bool = False
    reason: str = ""
    points: tuple[SearchPoint, ...] = ()
    chosen: int | None = None
    notes: Mapping[str, Note] = field(default_factory=dict)
    fit: Callable[[Item], Fit] | None = None
    private: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    tried: int | None = None
    aside: int = 0

    @property
    def settings_tried(self) -> int:
        """How many settings or candidates were compared on the target's history; 0 if nothing was tuned."""
        return len({point.weights for point in self.points}) if self.tried is None else self.tried


@dataclass(frozen=True)
class Outcome:
    """What another method deployed for the same target; the controls are built from it.

    Attributes:
        weights: Weight per source, empty if it fell back to the base.
        norm: Frobenius norm of the deployed change over all layers.
        adapter: Reads the deployed adapter, or returns None.
    """

    weights: Mapping[str, float]
    norm: float
    adapter: Callable[[], LoraModule | None]


@dataclass(frozen=True)
class Calibration:
    """A sharer's records that were set aside for measuring its own leak; the audit never sees them.

    Attributes:
        members: Items that the sharer's module was trained on.
        nonmembers: Items that nothing was trained on.
    """

    members: tuple[Item, ...]
    nonmembers: tuple[Item, ...]


@dataclass(frozen=True)
class TargetContext:
    """Everything a method may see of one target. It never holds a record that the audit holds out.

    Attributes:
        task: The task that is personalised.
        target: The target; its history is the IN half alone.
        base: The task-adapted base model.
        seeds: Seeds of this method and target.
        sharers: The sharers selected for this target, most similar first.
        similarity: Their cosine similarities with the target.
        module: Loads a user's trained module.
        gates: Loads the gates of a sharer's module by layer ``(d_in,)``, for a method that ``needs_gates``.
        calibration: Returns a sharer's calibration records, or None if none were set aside.
        others: What other methods deployed for this target, for a method that names them with ``of``.
        loss: Which tokens the modules were trained on and the audit scores: ``answer`` or ``full``.
        training: How modules are trained in this study.
        pooled: IN histories of the sharers whose records a method that pools may train on; nobody's for any
            other method.
        public: Items of public users, whose privacy nobody asks about.
        encoders: Reads a sentence encoder's folder by its path.
        writer: The pretrained model, which writes profiles.
        memory: What one method leaves for others to find, such as a written profile with its cost; it is
            kept in memory and never written.
        search_log: Keeps what a search measures, so that a killed one goes on; None keeps nothing.
    """

    task: Task
    target: User
    base: LanguageModel
    seeds: Seeds
    sharers: tuple[str, ...] = ()
    similarity: Mapping[str, float] = field(default_factory=dict)
    module: Callable[[str], LoraModule] | None = None
    gates: Callable[[str], Mapping[str, Any]] | None = None
    calibration: Callable[[str], Calibration] | None = None
    others: Mapping[str, Outcome] = field(default_factory=dict)
    loss: str = "answer"
    training: TrainingConfig = field(default_factory=TrainingConfig)
    pooled: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
    public: tuple[Item, ...] = ()
    encoders: Callable[[str], Encode] | None = None
    writer: LanguageModel | None = None
    memory: MutableMapping[str, tuple[str, Meter]] = field(default_factory=dict)

    def encoder(self, folder: str) -> Encode:
        """Returns the function that embeds texts ``(texts, d)`` by a sentence encoder's folder."""
        if self.encoders is None:
            raise ValueError("this context holds no sentence encoder")
        return self.encoders(folder)

    search_log: SearchLog | None = None

    def load(self, user: str) -> LoraModule:
        """Returns the trained module of ``user``."""
        if self.module is None:
            raise ValueError("this context holds no modules")
        return self.module(user)

    def modules(self) -> tuple[LoraModule, ...]:
        """Returns the modules of the selected sharers, most similar first."""
        return tuple(self.load(sharer) for sharer in self.sharers)

    def plain_prompt(self, item: Item) -> str:
        """Returns the task's prompt for ``item`` without any personal context."""
        return self.task.prompt(item.input)

    def latest(self, count: int | None) -> tuple[Item, ...]:
        """Returns the last ``count`` items of the target's history; None for all of them."""
        return self.target.history if count is None else self.target.history[-count:]


@dataclass(frozen=True)
class Method:
    """One way to personalise: its kind, its family and the function that does it.

    Attributes:
        kind: The name used in study files.
        family: ``prompt``, ``training``, ``merging``, or ``control`` for a merge that stands beside another.
        label: A short human name.
        personalise: The function; it takes the target's context and the method's settings.
        settings: What a study may set.
        subject: Whose module is deployed: ``sharer`` for a merge, ``target`` for a module that was trained
            for the target; None if the method deploys no adapter.
        about: Whose privacy the deployed adapter is about; the subject's, or both.
        needs_own_module: True if the target's own module must be trained first.
        examples: What that module is trained on.
        needs_gates: True if the sharers' gates must be trained first.
        needs_public: True if it cannot do without public users.
        shows_history: True if its prompts hold the target's history although it trains a module.
        source: Where the method is described.
    """

    kind: str
    family: Literal["prompt", "training", "merging", "control"]
    label: str
    personalise: Callable[[TargetContext, Any], Personalisation]
    settings: type[MethodSettings]
    subject: Subject | None = None
    about: tuple[Subject, ...] = ()
    needs_own_module: bool = False
    examples: Callable[[TargetContext, Any], list[Example]] | None = None
    needs_gates: bool = False
    needs_public: bool = False
    shows_history: bool = False
    source: str = ""

    @property
    def pools(self) -> bool:
        """Whether it trains one module on the records of sharers and of the target together."""
        return self.subject == "target" and "sharer" in self.about

    @property
    def may_show_history(self) -> bool:
        """Whether its prompts may hold the target's history; only the prompts themselves say if they do."""
        return self.family == "prompt" or self.shows_history


def predict_with(
    model: LanguageModel, task: Task, prompts: Sequence[str], adapter: LoraModule | None
) -> list[str]:
    """Predicts every prompt with one adapter.

    Args:
        model: The model the adapter belongs to.
        task: The task; it decides between label scoring and decoding.
        prompts: Complete prompts.
        adapter: The adapter; None means the plain model.

    Returns:
        One prediction per prompt.
    """
    if adapter is None:
        return predict(model, task, prompts)
    return predict(model, task, prompts, adapters=AdapterBank([adapter]), weights=np.ones((len(prompts), 1)))
