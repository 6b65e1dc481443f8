"""What kind of person a user is, as an audit may ask whether modules or merges give it away."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from prime_audit.data.tasks import Task
from prime_audit.data.users import Dataset, User
from prime_audit.data.world import family_of

LENGTHS = ("short", "medium", "long")

# By attribute, the value of every sharer and target.
Attributes = dict[str, dict[str, str]]


def attributes_of(dataset: Dataset, *, generated: bool) -> Attributes:
    """Return the attributes of sharers and targets that the data hold.

    They are facts about a person, so the whole history counts, held-out records too; no method sees them.

    Args:
        dataset: The users.
        generated: Whether the users are the generated ones, whose families are known.

    Returns:
        ``family``, the family of a generated user; ``label``, the most frequent answer where the answers of
        past items are labels (the first in the task's order of several); ``length`` where they are texts, in
        which third of the sharers the mean number of words of the answers falls.
    """
    found: Attributes = {}
    if generated:
        groups = (dataset.sharers, dataset.targets)
        found["family"] = {
            user.id: str(family_of(place) + 1) for users in groups for place, user in enumerate(users)
        }
    task, people = dataset.task.past, (*dataset.sharers, *dataset.targets)
    if task.kind == "text":
        found["length"] = _lengths(dataset.sharers, people)
    else:
        found["label"] = {user.id: _label(task, user) for user in people}
    return found


def _answers(user: User) -> list[str]:
    return [item.answer for item in user.history if item.answer]


def _label(task: Task, user: User) -> str:
    counts = Counter(_answers(user))
    return max(task.labels, key=lambda label: counts[label])


def _lengths(sharers: Sequence[User], people: Sequence[User]) -> dict[str, str]:
    means = {user.id: float(np.mean([len(answer.split()) for answer in _answers(user)])) for user in people}
    cuts = np.quantile([means[user.id] for user in sharers], [1 / 3, 2 / 3])
    return {user: LENGTHS[int(np.searchsorted(cuts, mean))] for user, mean in means.items()}
