"""Who is a member: the coin flips of the hold-out design, and its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from prime_audit.core import Seeds, digest_bytes, digest_json
from prime_audit.data.dates import by_date
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import Dataset, User


@dataclass(frozen=True)
class Holdout:
    """A fair coin for every history record of every sharer and target: IN trains, OUT is held out everywhere.

    Attributes:
        flips: By user id, aligned with the history; True is IN, a member.
        records: By user id, aligned with the history: item id and SHA-256 of prompt and answer.
        calibration: By user id, aligned with the history: True is a record set aside, so that a method can
            measure its own leak with it. Modules are trained on its IN part all the same; the audit uses
            none of it. Users without such records are missing.
        design: ``holdout``, or ``prime-paper`` where no record is held out.
    """

    flips: Mapping[str, tuple[bool, ...]]
    records: Mapping[str, tuple[tuple[str, str], ...]]
    calibration: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    design: str = "holdout"

    def members(self, user: User) -> tuple[Item, ...]:
        """Return what may be trained on, retrieved and searched with.

        Args:
            user: Any user of the dataset.

        Returns:
            The IN half of the history; all of it for a public user, whom the design does not touch.
        """
        if user.id not in self.flips:
            return user.history
        return tuple(item for item, flip in zip(user.history, self.flips[user.id], strict=True) if flip)

    def nonmembers(self, user: User) -> tuple[Item, ...]:
        """Return what is held out.

        Args:
            user: Any user of the dataset.

        Returns:
            The OUT half of the history; nothing for a public user.
        """
        if user.id not in self.flips:
            return ()
        return tuple(item for item, flip in zip(user.history, self.flips[user.id], strict=True) if not flip)

    def audited(self, user: User) -> tuple[Item, ...]:
        """Return the records that the audit scores.

        Args:
            user: A sharer or a target.

        Returns:
            The history, IN and OUT, without what was set aside for calibration, in file order.
        """
        return tuple(
            item for item, aside in zip(user.history, self._aside(user.id), strict=True) if not aside
        )

    def audited_flips(self, user: str) -> tuple[bool, ...]:
        """Return the coin flips of the audited records.

        Args:
            user: Id of a sharer or a target.

        Returns:
            One flip per record of `audited`, in the same order; True is IN.
        """
        return tuple(
            flip for flip, aside in zip(self.flips[user], self._aside(user), strict=True) if not aside
        )

    def compared(self, user: User, unused: int) -> tuple[bool, ...]:
        """Return which records can be told apart by membership if the latest members were not trained on.

        A held-out record from the time of those members is left out with them. Were it kept, members would be
        older than non-members, and time alone would tell them apart. Of the records before the oldest of
        those members, given how many are IN, every choice of that many is equally likely: what a permutation
        test needs. They are no longer independent coins.

        Args:
            user: A target, whose records are all audited.
            unused: How many of the user's IN records, the latest ones, were not trained on.

        Returns:
            One flag per record of the history, in file order.
        """
        flips, order = self.flips[user.id], by_date(user.history)
        latest = [rank for rank, place in enumerate(order) if flips[place]][-unused:] if unused else []
        before = set(order[: latest[0]] if latest else order)
        return tuple(place in before for place in range(len(order)))

    def set_aside(self, user: User) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
        """Return the calibration records.

        Args:
            user: Any user of the dataset.

        Returns:
            Those that the user's module is trained on, and those that nothing is trained on; either may be
            empty, for the coin does not know which records are set aside.
        """
        if user.id not in self.calibration:
            return (), ()
        aside = self.calibration[user.id]
        drawn = [(i, flip) for i, flip, a in zip(user.history, self.flips[user.id], aside, strict=True) if a]
        return tuple(i for i, flip in drawn if flip), tuple(i for i, flip in drawn if not flip)

    def _aside(self, user: str) -> tuple[bool, ...]:
        return self.calibration.get(user, (False,) * len(self.flips[user]))

    def manifest(self) -> dict[str, object]:
        """Return the design without any text, so that it can be published before the results.

        Returns:
            `design`, `users` (id and records with `id`, `sha256`, `member`, and `calibration: true` where it
            was set aside), and `commitment`, the digest of all of it.
        """
        users = [
            {
                "id": user,
                "records": [
                    {"id": item, "sha256": digest, "member": flip, **({"calibration": True} if aside else {})}
                    for (item, digest), flip, aside in zip(
                        self.records[user], flips, self._aside(user), strict=True
                    )
                ],
            }
            for user, flips in self.flips.items()
        ]
        body: dict[str, object] = {"design": self.design, "users": users}
        return {**body, "commitment": digest_json(body)}


def draw_holdout(dataset: Dataset, seeds: Seeds, calibration: float = 0.0) -> Holdout:
    """Flip one fair coin per history record of every sharer and target.

    The flips are independent: not balanced, not stratified and never drawn again, which is what makes the
    within-user randomisation test exact. A user's flips do not depend on who else is in the data. What is set
    aside is drawn by itself and does not look at the flips, so those of the other records stay fair coins.

    Args:
        dataset: The users.
        seeds: Where the coin comes from.
        calibration: The share of each sharer's records that is set aside, rounded to whole records.

    Returns:
        The design.
    """
    flips: dict[str, tuple[bool, ...]] = {}
    records: dict[str, tuple[tuple[str, str], ...]] = {}
    aside: dict[str, tuple[bool, ...]] = {}
    for user in dataset.users:
        if user.role == "public":
            continue
        coin = seeds.generator("design", "holdout", user.id)
        flips[user.id] = tuple(bool(side) for side in coin.integers(0, 2, size=len(user.history)))
        records[user.id] = tuple((item.id, _digest(dataset.task, item)) for item in user.history)
        if calibration and user.role == "sharer":
            urn = seeds.generator("design", "calibration", user.id)
            count = round(calibration * len(user.history))
            drawn = set(urn.choice(len(user.history), size=count, replace=False).tolist())
            aside[user.id] = tuple(place in drawn for place in range(len(user.history)))
    return Holdout(MappingProxyType(flips), MappingProxyType(records), MappingProxyType(aside))


def everything_in(dataset: Dataset) -> Holdout:
    """Hold nothing out: the published protocol trains on whole histories and compares different people.

    Args:
        dataset: The users.

    Returns:
        A design in which every record of every sharer and target is IN.
    """
    users = [user for user in dataset.users if user.role != "public"]
    flips = {user.id: (True,) * len(user.history) for user in users}
    records = {
        user.id: tuple((item.id, _digest(dataset.task, item)) for item in user.history) for user in users
    }
    return Holdout(MappingProxyType(flips), MappingProxyType(records), design="prime-paper")


def _digest(task: Task, item: Item) -> str:
    text = task.prompt(item.input) + task.completion(item.answer or "")
    return digest_bytes(text.encode("utf-8"))
