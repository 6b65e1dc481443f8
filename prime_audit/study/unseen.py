"""Records that no model was trained on: what attacks put before a record, and what they compare it with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime_audit.core import Seeds
from prime_audit.data import Dataset, Item
from prime_audit.models import encode_all
from prime_audit.study.workbench import Workbench


@dataclass(frozen=True)
class Unseen:
    """Queries with answers, in two parts that share none.

    Attributes:
        shots: Put before a record as known non-members.
        population: Compared with a record as known non-members.
    """

    shots: tuple[Item, ...]
    population: tuple[Item, ...]


def draw_unseen(dataset: Dataset, seeds: Seeds, shots: int, population: int) -> Unseen:
    """Draws known non-members from the targets' queries, which nothing is trained on and no audit scores.

    Args:
        dataset: The users.
        seeds: Where the draw comes from.
        shots: Most records that are put before others.
        population: Most records that others are compared with.

    Returns:
        Both parts; fewer records where there are not so many queries, shots first.
    """
    items = [item for target in dataset.targets for item in target.queries if item.answer]
    order = seeds.generator("unseen").permutation(len(items)).tolist()
    drawn = [items[place] for place in order]
    return Unseen(tuple(drawn[:shots]), tuple(drawn[shots : shots + population]))


def corpus(bench: Workbench) -> NDArray[np.int64] | None:
    """Counts the tokens of the public users' histories, by the numbers that evidence holds.

    Returns:
        ``(V,)`` counts; None without public users. Tokens that no audited record holds share the last place.
    """
    items = [item for user in bench.dataset.public for item in user.history]
    if not items:
        return None
    encoded = encode_all(bench.base, [bench.example(item) for item in items], "full")
    numbers = bench.token_numbers
    counts = np.zeros(int(numbers.max()) + 1, dtype=np.int64)
    for one in encoded:
        np.add.at(counts, numbers[np.array(one.ids[1:], dtype=np.int64)], 1)
    return counts
