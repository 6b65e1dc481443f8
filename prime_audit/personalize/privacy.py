"""The privacy terms that an objective may subtract; each is larger where more of the sharers shows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from prime_audit.data import Item, Task
from prime_audit.errors import ConfigError
from prime_audit.models import Example, score_tokens
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.types import TargetContext
from prime_audit.utility import agreement

Floats = NDArray[np.float64]


def output_similarity(task: Task, said: Sequence[str], others: Sequence[Sequence[str]]) -> Floats:
    """Mean agreement of outputs with each sharer's own outputs (PriME, EMNLP 2025, section 3).

    Args:
        task: The task, whose metric is the measure of agreement.
        said: A candidate's outputs, n texts.
        others: Each sharer's outputs on the same prompts.

    Returns:
        Shape ``(n,)``, in [0, 1].
    """
    mean: Floats = np.mean([agreement(task, said, other) for other in others], axis=0)
    return mean


def same_distribution(
    own: Sequence[NDArray[np.floating]],
    others: Sequence[Sequence[NDArray[np.floating]]],
    places: NDArray[np.intp],
) -> Floats:
    """One minus the Jensen-Shannon divergence from each sharer's distributions, in units of ln 2.

    Args:
        own: A candidate's log-probabilities per item, ``(tokens, choices)`` in nats.
        others: Each sharer's, for all items.
        places: Which of all items ``own`` is about.

    Returns:
        Per item, the mean over sharers and tokens, in [0, 1]; 1 means equal distributions.
    """
    found = np.empty((len(others), len(places)))
    for i, other in enumerate(others):
        for j, place in enumerate(places):
            p, q = np.exp(own[j].astype(np.float64)), np.exp(other[place].astype(np.float64))
            middle = (p + q) / 2
            divergence = (rel_entr(p, middle).sum(axis=1) + rel_entr(q, middle).sum(axis=1)) / 2
            found[i, j] = 1 - divergence.mean() / np.log(2)
    alike: Floats = np.clip(found.mean(axis=0), 0.0, 1.0)
    return alike


def relative_norm(mixture: Mixture, candidates: Floats) -> Floats:
    """Norm of the merged change over the mean norm of the sharers' own changes, shape ``(m,)``."""
    mean = float(np.mean([module.norm() for module in mixture.modules]))
    return mixture.norms(candidates) / mean if mean > 0 else np.zeros(len(candidates))


class MembershipGap:
    """How much further a merge moves the sharers' trained-on records than records nothing was trained on.

    Per sharer: the mean over its set-aside members of the mean log-probability per token minus the base's,
    minus the same over its set-aside non-members. The term is the mean absolute gap over sharers, in nats
    per token; the absolute value because a negative weight turns a leak over without removing it.
    """

    def __init__(self, context: TargetContext, mixture: Mixture) -> None:
        """Scores the calibration records with the base.

        Args:
            context: The target's context, with calibration records of the selected sharers.
            mixture: Their modules.

        Raises:
            ConfigError: No records were set aside, or a sharer has none on one side.
        """
        if context.calibration is None:
            raise ConfigError(
                "privacy: membership-gap needs records of the sharers that the audit does not use",
                hint="set sharers.calibration, for example to 0.2",
            )
        self._lm, self._task, self._mixture = context.base, context.task.past, mixture
        # The tokens that the audit scores, so that the term speaks about the same leak.
        self._loss = context.loss
        self._examples: list[Example] = []
        self._member: list[bool] = []
        self._owner: list[int] = []
        for place, sharer in enumerate(context.sharers):
            records = context.calibration(sharer)
            if not records.members or not records.nonmembers:
                raise ConfigError(
                    f"privacy: membership-gap: sharer {sharer} has {len(records.members)} members and "
                    f"{len(records.nonmembers)} non-members set aside, and needs one of each",
                    hint="raise sharers.calibration, or use another privacy term",
                )
            for items, member in ((records.members, True), (records.nonmembers, False)):
                self._examples += [self._example(item) for item in items]
                self._member += [member] * len(items)
                self._owner += [place] * len(items)
        self._base = score_tokens(self._lm, self._examples, loss=self._loss).mean()

    def of(self, candidates: Floats) -> Floats:
        """Returns the gap per candidate in nats per token, shape ``(m,)``, never negative."""
        count = len(self._examples)
        rows = np.repeat(self._mixture.bank_weights(candidates), count, axis=0)
        scores = score_tokens(
            self._lm,
            self._examples * len(candidates),
            loss=self._loss,
            adapters=self._mixture.bank,
            weights=rows,
        ).mean()
        moved = scores.reshape(len(candidates), count) - self._base
        member, owner = np.array(self._member), np.array(self._owner)
        gaps = [
            moved[:, (owner == sharer) & member].mean(axis=1)
            - moved[:, (owner == sharer) & ~member].mean(axis=1)
            for sharer in range(max(self._owner) + 1)
        ]
        gap: Floats = np.abs(gaps).mean(axis=0)
        return gap

    def _example(self, item: Item) -> Example:
        return Example(self._task.prompt(item.input), self._task.completion(item.answer or ""))
