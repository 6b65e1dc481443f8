"""From evidence to panels: each user's records with their scores against every target that holds the user."""

from collections.abc import Iterator, Mapping, Sequence
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


def build_panel(scored: Sequence[Scored], flips: Flips, attack: Attack, loss: Attack) -> Panel:
    """Scores every record with one attack and groups the scores by user.

    Args:
        scored: Evidence per target.
        flips: Coin flips of each subject's history, in evidence order.
        attack: The attack.
        loss: The loss attack, which others are compared with.

    Returns:
        The panel; a user's rows are its targets, in the order of ``scored``.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    attempted: dict[str, int] = {}
    alike: list[float] = []
    backed: list[NDArray[np.bool_]] = []
    for entry in scored:
        for subject, sign, part, compared in _by_subject(entry, flips):
            mask = usable(attack, part) & compared
            masks[subject], attempted[subject] = mask, int(compared.sum())
            kept = part.take(np.flatnonzero(mask))
            scores = _turned(attack.score(kept), 1 if attack.oriented else sign)
            rows.setdefault(subject, []).append(scores)
            if attack.backs_off is not None:
                backed.append(attack.backs_off(kept))
            if attack.id != loss.id and len(scores) > 1:
                alike.append(same_ranks(scores, _turned(loss.score(kept), sign)))
    users = tuple(
        UserScores(user=user, member=flips[user][masks[user]], scores=np.vstack(values))
        for user, values in sorted(rows.items())
    )
    return Panel(
        users=users,
        attempted=sum(attempted.values()),
        scored=sum(int(mask.sum()) for mask in masks.values()),
        oriented=not attack.oriented and any(sign < 0 for entry in scored for sign in entry.signs),
        copies_loss=bool(alike) and float(np.mean(alike)) >= 0.99,
        backed_off=float(np.concatenate(backed).mean()) if backed else 0.0,
        places=tuple(np.flatnonzero(masks[user.user]) for user in users),
    )


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
