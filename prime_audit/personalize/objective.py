"""PriME's objective: the target's task metric minus a penalty for resembling the sharers.

Source: PriME (EMNLP 2025), section 3: maximise ``U(w) - alpha * S(w)``. U is the utility of the merged model
on the target's history; S is the privacy term, as published the mean agreement of its outputs with each
sharer's own outputs on the same prompts. Neither depends on alpha, so one set of evaluations serves every
alpha.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prime_audit.config import PrimeMethod
from prime_audit.core import Seeds
from prime_audit.data import Item
from prime_audit.personalize.answers import Answers, Panel, Wanted
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.privacy import (
    MembershipGap,
    output_similarity,
    relative_norm,
    same_distribution,
)
from prime_audit.personalize.search_log import Figures
from prime_audit.personalize.types import SearchPoint, TargetContext
from prime_audit.utility import score

Floats = NDArray[np.float64]
BY_OUTPUT = ("similarity", "excess-similarity")


@dataclass(frozen=True)
class Evaluation:
    """One candidate, measured.

    Attributes:
        weights: The candidate, shape ``(dimensions,)``.
        utility: U per item, shape ``(items,)``; one figure for all where the metric does not add up.
        penalty: S per item, or one figure for all.
        part: ``search`` or ``selection``.
        items: Number of items it was measured on.
    """

    weights: Floats
    utility: Floats
    penalty: Floats
    part: str
    items: int

    def value(self, alpha: float) -> float:
        """Returns U - alpha S."""
        return float(self.utility.mean() - alpha * self.penalty.mean())

    def by_item(self, alpha: float) -> Floats:
        """Returns U - alpha S per item; one figure if U does not add up from items."""
        values: Floats = self.utility - alpha * self.penalty
        return values

    def joined(self, other: "Evaluation") -> "Evaluation":
        """Returns the evaluation on both sets of items."""
        return replace(
            self,
            utility=np.concatenate([self.utility, other.utility]),
            penalty=np.concatenate([self.penalty, other.penalty]),
            items=self.items + other.items,
        )

    def reordered(self, order: NDArray[np.intp]) -> "Evaluation":
        """Returns the evaluation with its items in another order; ``order`` holds every position once."""
        return replace(self, utility=self.utility[order], penalty=self.penalty[order])

    @property
    def point(self) -> SearchPoint:
        """The evaluation as the results keep it."""
        return SearchPoint(
            weights=tuple(self.weights.tolist()),
            utility=float(self.utility.mean()),
            similarity=float(self.penalty.mean()),
            part=self.part,
            items=self.items,
        )


class Objective:
    """U and S of candidate merges on one part of a target's history."""

    def __init__(
        self,
        context: TargetContext,
        mixture: Mixture,
        settings: PrimeMethod,
        items: Sequence[Item],
        part: str,
    ) -> None:
        """Asks each sharer alone, and the base where it is needed; S compares with their answers.

        Args:
            context: The target's context.
            mixture: The selected sharers' modules.
            settings: Which utility and which privacy term.
            items: The items of this part; each has an answer.
            part: ``search`` or ``selection``.

        Raises:
            ConfigError: The membership gap is asked for and no calibration records were set aside.
        """
        self._log = context.search_log
        self._task = context.task.past
        self._mixture = mixture
        self._settings = settings
        self._items = items
        self.part = part
        self._panel = Panel(
            context.base,
            context.task.past,
            items,
            sampling=settings.sampling,
            seeds=Seeds(context.seeds.integer("objective", part)),
        )
        self._wanted = Wanted(
            texts=settings.utility != "log-likelihood" or settings.privacy in BY_OUTPUT,
            gold=settings.utility == "log-likelihood",
            distributions=settings.privacy == "distribution",
        )
        self._gap = MembershipGap(context, mixture) if settings.privacy == "membership-gap" else None
        self._alone = self._ask_alone() if settings.privacy in (*BY_OUTPUT, "distribution") else None

    def _ask_alone(self) -> Answers:
        """Asks each sharer alone, and last the base."""
        rows = np.concatenate([self._mixture.sharers_alone(), self._mixture.base()])
        privacy = self._settings.privacy
        wanted = Wanted(texts=privacy in BY_OUTPUT, distributions=privacy == "distribution")
        return self._panel.ask(self._mixture.bank, rows, wanted)

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self._items)

    def evaluate(self, candidates: Floats, chosen: NDArray[np.intp] | None = None) -> list[Evaluation]:
        """Measures candidates in one go.

        Args:
            candidates: Shape ``(m, dimensions)``.
            chosen: Positions of the items to measure on; None for all.

        Returns:
            One evaluation per candidate, in order.
        """
        places = np.arange(len(self._items)) if chosen is None else chosen

        def measure() -> list[Figures]:
            return self._measure(candidates, places)

        of = f"{self.part}: {','.join(map(str, places))}"
        figures = measure() if self._log is None else self._log.measured(of, candidates, measure)
        return [
            Evaluation(weights, np.array(one["u"]), np.array(one["s"]), self.part, len(places))
            for weights, one in zip(candidates, figures, strict=True)
        ]

    def _measure(self, candidates: Floats, places: NDArray[np.intp]) -> list[Figures]:
        weights = self._mixture.bank_weights(candidates)
        answers = self._panel.ask(self._mixture.bank, weights, self._wanted, places)
        utility = self._utility(answers, places)
        penalty = self._penalty(candidates, answers, places)
        return [{"u": u.tolist(), "s": s.tolist()} for u, s in zip(utility, penalty, strict=True)]

    def _utility(self, answers: Answers, places: NDArray[np.intp]) -> list[Floats]:
        if self._settings.utility == "log-likelihood":
            return list(answers.gold)
        golds = [self._items[i].answer or "" for i in places] * self._panel.repeats
        scores = [score(self._task, said, golds) for said in answers.texts]
        if self._settings.utility == "sum":
            return [np.array([summed(self._task.kind, one.raw)]) for one in scores]
        return [self._per_item(one.per_item) for one in scores]

    def _penalty(self, candidates: Floats, answers: Answers, places: NDArray[np.intp]) -> list[Floats]:
        privacy, count = self._settings.privacy, len(places)
        if privacy == "none":
            return [np.zeros(count)] * len(candidates)
        if privacy == "norm":
            norms = relative_norm(self._mixture, candidates)
            return [np.full(count, norm) for norm in norms]
        if self._gap is not None:
            return [np.full(count, gap) for gap in self._gap.of(candidates)]
        if self._alone is None:
            raise ValueError(f"privacy term {privacy} compares with nothing")
        if privacy == "distribution":
            sharers = self._alone.distributions[:-1]
            return [same_distribution(own, sharers, places) for own in answers.distributions]
        every = self._at(places)
        *sharers_said, base_said = [[texts[i] for i in every] for texts in self._alone.texts]
        found = [self._alike(said, sharers_said) for said in answers.texts]
        if privacy == "excess-similarity":
            already = self._alike(base_said, sharers_said)
            found = [alike - already for alike in found]
        return found

    def _alike(self, said: list[str], others: list[list[str]]) -> Floats:
        """Agreement with the sharers per item; one figure under ``utility: sum``, as published."""
        if self._settings.utility == "sum":
            sums = [summed(self._task.kind, score(self._task, said, other).raw) for other in others]
            return np.array([np.mean(sums)])
        return self._per_item(output_similarity(self._task, said, others))

    def _at(self, places: NDArray[np.intp]) -> list[int]:
        """Positions of the chosen items in outputs that hold every repeat of all items."""
        return [repeat * len(self._items) + int(i) for repeat in range(self._panel.repeats) for i in places]

    def _per_item(self, values: Floats) -> Floats:
        """Averages over the repeats."""
        mean: Floats = values.reshape(self._panel.repeats, -1).mean(axis=0)
        return mean


def summed(kind: str, raw: Mapping[str, float]) -> float:
    """Returns the sum of a task's two raw metrics as the published code uses it, higher = better.

    Args:
        kind: The task's kind; the errors of a number task count negatively.
        raw: The metrics by name.

    Returns:
        The sum; not normalised, so that alpha means something else for each task.
    """
    total = float(sum(raw.values()))
    return -total if kind == "number" else total
