"""Records that no model was trained on: what attacks put before a record, and what they compare it with."""

from dataclasses import dataclass

from prime_audit.core import Seeds
from prime_audit.data.repeats import RecordIndex
from prime_audit.data.tasks import Item
from prime_audit.data.users import Dataset


@dataclass(frozen=True)
class Unseen:
    """Queries with answers, in two parts that share none.

    Attributes:
        shots: Put before a record as known non-members.
        population: Compared with a record as known non-members.
        repeats: Queries that were left out, because they nearly repeat a record of somebody's history.
    """

    shots: tuple[Item, ...]
    population: tuple[Item, ...]
    repeats: int = 0


def draw_unseen(dataset: Dataset, seeds: Seeds, shots: int, population: int) -> Unseen:
    """Draws known non-members from the targets' queries, which nothing is trained on and no audit scores.

    A query that nearly repeats a record of anybody's history is no known non-member, and is left out. Where
    past items have another form than queries, no query compares with a record, and there are none.

    Args:
        dataset: The users.
        seeds: Where the draw comes from.
        shots: Most records that are put before others.
        population: Most records that others are compared with.

    Returns:
        Both parts; fewer records where there are not so many queries, shots first.
    """
    if dataset.task.of_history is not None:
        return Unseen((), ())
    index = RecordIndex[tuple[str, str]](answers=dataset.task.kind == "text")
    for user in dataset.users:
        for item in user.history:
            index.add((user.id, item.id), item)
    asked = [item for target in dataset.targets for item in target.queries if item.answer]
    items = [item for item in asked if not index.repeated_by(item)]
    order = seeds.generator("unseen").permutation(len(items)).tolist()
    drawn = [items[place] for place in order]
    return Unseen(tuple(drawn[:shots]), tuple(drawn[shots : shots + population]), len(asked) - len(items))
