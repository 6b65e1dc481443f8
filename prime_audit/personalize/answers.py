"""What candidate merges answer to a target's items: many candidates as rows of the same batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from prime_audit.config import SamplingConfig
from prime_audit.core import Seeds
from prime_audit.data import Item, Task
from prime_audit.models import (
    Draws,
    Example,
    LanguageModel,
    answer_distributions,
    choose_labels,
    generate,
    score_labels,
    score_tokens,
)
from prime_audit.modules import AdapterBank
from prime_audit.utility import score

Floats = NDArray[np.float64]
Distributions = list[list[NDArray[np.floating]]]


@dataclass(frozen=True)
class Wanted:
    """What an objective reads of the answers; the rest is not computed."""

    texts: bool = True
    gold: bool = False
    distributions: bool = False


@dataclass(frozen=True)
class Answers:
    """The answers of m candidates to n items.

    Attributes:
        texts: Outputs by candidate and item, ``repeats`` after one another if they are sampled.
        gold: Mean log-probability of the right answer per token in nats, shape ``(m, n)``; of a label, its
            log-probability among all labels.
        distributions: Log-probabilities by candidate and item, shape ``(tokens, choices)``: over the labels
            (one row), or over the vocabulary at each token of the right answer.
    """

    texts: list[list[str]]
    gold: Floats
    distributions: Distributions


def utilities(
    lm: LanguageModel, task: Task, items: Sequence[Item], bank: AdapterBank, candidates: Floats
) -> list[float]:
    """Returns the task's utility of several merges on the same items, measured in one batch.

    Args:
        lm: The base.
        task: The task.
        items: Items with answers.
        bank: The modules.
        candidates: Merge weights, one row per merge.

    Returns:
        One utility in [0, 1] per merge.
    """
    golds = [item.answer or "" for item in items]
    answers = Panel(lm, task, items).ask(bank, candidates, Wanted())
    return [score(task, said, golds).primary for said in answers.texts]


class Panel:
    """A target's items put to candidate merges of the same modules."""

    def __init__(
        self,
        lm: LanguageModel,
        task: Task,
        items: Sequence[Item],
        *,
        sampling: SamplingConfig | None = None,
        seeds: Seeds | None = None,
    ) -> None:
        """Prepares the items.

        Args:
            lm: The base.
            task: The task.
            items: Items with answers.
            sampling: Sample the outputs, ``repeats`` times per item, with random numbers that every
                candidate shares; None for the likeliest ones.
            seeds: Where the random numbers come from; needed with ``sampling``.
        """
        self._lm = lm
        self._task = task
        self._items = items
        self._sampling = sampling
        self.repeats = sampling.repeats if sampling else 1
        self._uniforms = np.empty((0, 0, 0))
        if sampling is not None:
            if seeds is None:
                raise ValueError("sampling needs seeds")
            steps = task.max_new_tokens if task.kind == "text" else 1
            self._uniforms = seeds.generator("draws").random((self.repeats, len(items), steps))

    def ask(
        self, bank: AdapterBank, candidates: Floats, wanted: Wanted, chosen: NDArray[np.intp] | None = None
    ) -> Answers:
        """Asks every candidate about every item.

        Args:
            bank: The modules.
            candidates: Merge weights, one row per candidate, as the bank takes them.
            wanted: What is needed.
            chosen: Positions of the items; None for all of them.

        Returns:
            The answers; what is not wanted is empty.
        """
        places = np.arange(len(self._items)) if chosen is None else chosen
        if self._task.kind == "text":
            return self._free(bank, candidates, wanted, places)
        return self._labels(bank, candidates, places)

    def _labels(self, bank: AdapterBank, candidates: Floats, places: NDArray[np.intp]) -> Answers:
        items = [self._items[i] for i in places]
        labels = self._task.labels
        prompts = [self._task.prompt(item.input) for item in items]
        rows = np.repeat(candidates, len(items), axis=0)
        scores = score_labels(self._lm, prompts * len(candidates), labels, adapters=bank, weights=rows)
        logp = log_softmax(scores, axis=1).reshape(len(candidates), len(items), len(labels))
        right = [labels.index(item.answer or "") for item in items]
        texts: list[list[str]] = [[] for _ in candidates]
        for draws in self._draws(places, len(candidates)):
            best = choose_labels(scores, draws).reshape(len(candidates), len(items))
            for said, row in zip(texts, best, strict=True):
                said += [labels[i] for i in row]
        return Answers(
            texts=texts,
            gold=np.take_along_axis(logp, np.array(right)[None, :, None], axis=2)[:, :, 0],
            distributions=[[item[None] for item in candidate] for candidate in logp],
        )

    def _free(
        self, bank: AdapterBank, candidates: Floats, wanted: Wanted, places: NDArray[np.intp]
    ) -> Answers:
        items = [self._items[i] for i in places]
        prompts = [self._task.prompt(item.input) for item in items]
        examples = [
            Example(prompt, self._task.completion(item.answer or ""))
            for prompt, item in zip(prompts, items, strict=True)
        ]
        rows = np.repeat(candidates, len(items), axis=0)
        texts: list[list[str]] = [[] for _ in candidates]
        if wanted.texts:
            for draws in self._draws(places, len(candidates)):
                flat = self._generate(bank, prompts * len(candidates), rows, draws)
                for i, said in enumerate(texts):
                    said += flat[i * len(items) : (i + 1) * len(items)]
        gold = np.empty((len(candidates), 0))
        if wanted.gold:
            scores = score_tokens(self._lm, examples * len(candidates), adapters=bank, weights=rows)
            gold = scores.mean().reshape(len(candidates), len(items))
        distributions: Distributions = [[] for _ in candidates]
        if wanted.distributions:
            for i, candidate in enumerate(candidates):
                own = np.repeat(candidate[None], len(items), axis=0)
                distributions[i] += answer_distributions(self._lm, examples, adapters=bank, weights=own)
        return Answers(texts, gold, distributions)

    def _generate(
        self, bank: AdapterBank, prompts: Sequence[str], rows: Floats, draws: Draws | None
    ) -> list[str]:
        limit = self._task.max_new_tokens
        texts = generate(self._lm, prompts, max_new_tokens=limit, adapters=bank, weights=rows, draws=draws)
        return [text.strip() for text in texts]

    def _draws(self, places: NDArray[np.intp], candidates: int) -> list[Draws | None]:
        """One set of random numbers per repeat, the same for every candidate; None for greedy answers."""
        if self._sampling is None:
            return [None]
        settings = self._sampling
        return [
            Draws(settings.temperature, settings.top_p, np.tile(one[places], (candidates, 1)))
            for one in self._uniforms
        ]
