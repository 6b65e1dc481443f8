"""Records that (nearly) repeat one another: what blurs the line between members and non-members."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from prime_audit.data.designs import Holdout
from prime_audit.data.tasks import Item
from prime_audit.data.users import Dataset

# Two records count as near-duplicates from this share of common five-word runs (Jaccard).
NEAR = 0.5
_RUN = 5


Key = TypeVar("Key", bound=Hashable)


class RecordIndex(Generic[Key]):
    """Finds which of the records that it holds are nearly repeated by another one.

    Two records repeat one another if, without case and punctuation, they share at least half of their
    five-word runs in input plus answer; for free text also if their answers are the same words.
    """

    def __init__(self, *, answers: bool) -> None:
        """Holds no record yet.

        Args:
            answers: Whether equal answers are a repetition; labels and numbers are equal by chance.
        """
        self._answers = answers
        self._runs: dict[tuple[str, ...], list[Key]] = defaultdict(list)
        self._said: dict[tuple[str, ...], list[Key]] = defaultdict(list)
        self._sizes: dict[Key, int] = {}

    def add(self, key: Key, item: Item) -> None:
        """Holds one more record under a key of its own."""
        found = _word_runs(item)
        self._sizes[key] = len(found)
        for run in found:
            self._runs[run].append(key)
        if self._answers and (words := _words(item.answer or "")):
            self._said[words].append(key)

    def repeated_by(self, item: Item) -> list[Key]:
        """Returns the keys of the records that a record repeats, each once."""
        found = _word_runs(item)
        shared = Counter(key for run in found for key in self._runs.get(run, ()))
        hits = [key for key, n in shared.items() if n >= NEAR * (len(found) + self._sizes[key] - n)]
        return list(dict.fromkeys([*hits, *self._said.get(_words(item.answer or ""), [])]))


class Overlap(NamedTuple):
    """A held-out record that (nearly) repeats a record which some module, or the base, is trained on."""

    user: str
    nonmember: str
    member: str
    member_user: str


def overlaps(holdout: Holdout, dataset: Dataset) -> list[Overlap]:
    """Finds audited held-out records that are not truly held out, since something trained on repeats them.

    Args:
        holdout: The design.
        dataset: Its users; every member of anyone counts, and all records of public users.

    Returns:
        The overlapping pairs in the order of the data. The published protocol holds no record out; there a
        pair is two sharers' records, of which one may stand for a member and the other for a non-member.
    """
    index = RecordIndex[tuple[str, str]](answers=dataset.task.past.kind == "text")
    paper = holdout.design == "prime-paper"
    for user in dataset.sharers if paper else dataset.users:
        for item in holdout.members(user):
            index.add((user.id, item.id), item)
    pairs = []
    for user in dataset.sharers if paper else dataset.users:
        _, aside = holdout.set_aside(user)
        for item in holdout.members(user) if paper else holdout.nonmembers(user):
            if item not in aside:
                hits = [hit for hit in index.repeated_by(item) if not (paper and hit[0] == user.id)]
                pairs += [Overlap(user.id, item.id, member, owner) for owner, member in hits]
    return pairs


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


def _word_runs(item: Item) -> set[tuple[str, ...]]:
    """The runs of five words in a record, without case and punctuation; a shorter one is one run."""
    words = _words(f"{item.input} {item.answer or ''}")
    return {words[i : i + _RUN] for i in range(max(len(words) - _RUN + 1, 1))} if words else set()
