"""From evidence to panels: each user's records with their scores against every target that holds the user."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks import Attack, Evidence, usable
from attacks.statistics import UserScores, same_ranks

Flips = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Scored:
    """The evidence of one deployed model about one or more subjects.

    Attributes:
        target: The target it is deployed for, or the name of the control's model.
        subjects: Whose histories were scored, in this order.
        evidence: Scores of all their records, one subject after the other, and the base's on the same.
        signs: Sign of each subject's merge weight (+1 where it is zero): a negative weight turns a leak over.
        merged: False if the method fell back to the base for this target, or gave the subject no weight.
        compared: ``(N,)`` False where a record is neither a member nor held out: it chose what is deployed,
            and was not trained on. None where there is no such record.
    """

    target: str
    subjects: tuple[str, ...]
    evidence: Evidence
    signs: tuple[int, ...]
    merged: bool = True
    compared: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Panel:
    """One attack on one method: what the statistics read, and how many records they rest on.

    Attributes:
        users: Scores per user, members marked.
        attempted: Distinct records.
        scored: Distinct records with enough scored tokens for the attack.
        oriented: True if the scores of some user were turned over by a negative merge weight.
        copies_loss: True if the attack ranks at least 99 % of the records as the loss attack does.
        backed_off: Share of the scores that are another attack's, for want of what this one reads.
        no_interval: Why no interval is given, where the users do not stand for independent records. They hold
            the same records then, each of which is counted once.
        places: Where each user's scored records stand in the user's audited history.
    """

    users: tuple[UserScores, ...]
    attempted: int
    scored: int
    oriented: bool
    copies_loss: bool
    backed_off: float = 0.0
    no_interval: str = ""
    places: tuple[NDArray[np.int64], ...] = ()

    @property
    def members(self) -> int:
        """Distinct records that were scored and are a member of some user's."""
        if self.no_interval:
            return int(np.any([user.member for user in self.users], axis=0).sum())
        return sum(user.members for user in self.users)

    @property
    def nonmembers(self) -> int:
        """Distinct records that were scored and are no member of some user's."""
        if self.no_interval:
            return int(np.any([~user.member for user in self.users], axis=0).sum())
        return self.scored - self.members

    @property
    def resolvable(self) -> int:
        """How many non-members a rate rests on: the fewest of a user where all hold the same records."""
        return min(user.nonmembers for user in self.users) if self.no_interval else self.nonmembers

    @property
    def covered(self) -> bool:
        """True if at least half of the records could be scored."""
        return self.scored >= 0.5 * self.attempted > 0


@dataclass(frozen=True, eq=False)
class Attacked:
    """What one attack says of one subject's records under one deployed model; it holds no evidence.

    Attributes:
        target: The target that the model is deployed for.
        subject: Whose records they are.
        scores: ``(n,)`` of the records that have enough scored tokens.
        usable: ``(N,)`` which of all records those are.
        attempted: How many records are compared; those that chose what is deployed are not.
        merged: False if nothing of the subject is in what was deployed.
        negative: Whether the subject's merge weight is negative.
        alike: How much the ranks are those of the loss attack, from 0 to 1; None where that says nothing.
        backed_off: ``(n,)`` which scores are another attack's; None where the attack never takes one.
    """

    target: str
    subject: str
    scores: NDArray[np.float64]
    usable: NDArray[np.bool_]
    attempted: int
    merged: bool
    negative: bool
    alike: float | None
    backed_off: NDArray[np.bool_] | None


def attack_entry(entry: Scored, flips: Flips, attack: Attack, loss: Attack) -> list[Attacked]:
    """Scores the records that one deployed model was asked about.

    Args:
        entry: The evidence.
        flips: Coin flips of each subject's history, in evidence order.
        attack: The attack.
        loss: The loss attack, which others are compared with.

    Returns:
        What it says of each subject.
    """
    return [
        attack_subject(entry, subject, part, attack, loss, sign, compared)
        for subject, sign, part, compared in _by_subject(entry, flips)
    ]


def attack_subject(
    entry: Scored,
    subject: str,
    part: Evidence,
    attack: Attack,
    loss: Attack,
    sign: int = 1,
    compared: NDArray[np.bool_] | None = None,
) -> Attacked:
    """Scores one subject's records.

    Args:
        entry: What the model was asked about.
        subject: The subject.
        part: The evidence about the subject's records.
        attack: The attack.
        loss: The loss attack, which others are compared with.
        sign: Sign of the subject's merge weight; a negative one turns a leak over.
        compared: ``(N,)`` as in `Scored`, for these records.

    Returns:
        What the attack says of the subject.
    """
    asked = np.ones(len(part), dtype=np.bool_) if compared is None else compared
    mask = usable(attack, part) & asked
    kept = part.take(np.flatnonzero(mask))
    scores = _turned(attack.score(kept), 1 if attack.oriented else sign)
    ranked = attack.id != loss.id and len(scores) > 1
    return Attacked(
        target=entry.target,
        subject=subject,
        scores=scores,
        usable=mask,
        attempted=int(asked.sum()),
        merged=entry.merged,
        negative=sign < 0,
        alike=same_ranks(scores, _turned(loss.score(kept), sign)) if ranked else None,
        backed_off=None if attack.backs_off is None else attack.backs_off(kept),
    )


def panel_of(rows: Sequence[Attacked], flips: Flips, attack: Attack) -> Panel:
    """Groups the scores of one attack on one method by user.

    Args:
        rows: What it says, target after target.
        flips: Coin flips of each subject's history.
        attack: The attack.

    Returns:
        The panel; a user's rows are its targets, in the order of ``rows``.
    """
    scores: dict[str, list[NDArray[np.float64]]] = {}
    masks = {row.subject: row.usable for row in rows}
    for row in rows:
        scores.setdefault(row.subject, []).append(row.scores)
    backed = [row.backed_off for row in rows if row.backed_off is not None]
    users = tuple(
        UserScores(user=user, member=flips[user][masks[user]], scores=np.vstack(values))
        for user, values in sorted(scores.items())
    )
    return Panel(
        users=users,
        attempted=sum({row.subject: row.attempted for row in rows}.values()),
        scored=sum(int(mask.sum()) for mask in masks.values()),
        oriented=not attack.oriented and any(row.negative for row in rows),
        copies_loss=copies_loss(rows),
        backed_off=float(np.concatenate(backed).mean()) if backed else 0.0,
        places=tuple(np.flatnonzero(masks[user.user]) for user in users),
    )


def copies_loss(rows: Sequence[Attacked]) -> bool:
    """Returns whether an attack ranks at least 99 % of the records as the loss attack does."""
    alike = [row.alike for row in rows if row.alike is not None]
    return bool(alike) and float(np.mean(alike)) >= 0.99


def build_panel(scored: Iterable[Scored], flips: Flips, attack: Attack, loss: Attack) -> Panel:
    """Scores every record with one attack and groups the scores by user.

    Args:
        scored: Evidence per target.
        flips: Coin flips of each subject's history, in evidence order.
        attack: The attack.
        loss: The loss attack, which others are compared with.

    Returns:
        The panel; a user's rows are its targets, in the order of ``scored``.
    """
    rows = [row for entry in scored for row in attack_entry(entry, flips, attack, loss)]
    return panel_of(rows, flips, attack)


def _turned(scores: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
    """Mirrors scores at their own median where the weight is negative, so that users can still be pooled."""
    if sign > 0 or not len(scores):
        return scores
    return 2 * float(np.median(scores)) - scores


def _by_subject(entry: Scored, flips: Flips) -> Iterator[tuple[str, int, Evidence, NDArray[np.bool_]]]:
    """Cuts an entry into its subjects' parts: whose, the sign of the weight, evidence, what is compared."""
    compared = np.ones(len(entry.evidence.target), dtype=bool) if entry.compared is None else entry.compared
    start = 0
    for subject, sign in zip(entry.subjects, entry.signs, strict=True):
        positions = np.arange(start, start + len(flips[subject]))
        start += len(positions)
        yield subject, sign, entry.evidence.take(positions), compared[positions]
