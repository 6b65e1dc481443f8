"""The generated users of a study that names no data."""

from prime_audit.config import DataConfig
from prime_audit.core import Seeds
from prime_audit.data.tasks import Task
from prime_audit.data.users import Dataset, make_dataset, shortened
from prime_audit.data.world import make_public, make_users
from prime_audit.errors import DataError

SHARERS = 12
TARGETS = 12
PUBLIC = 40


def generated_dataset(config: DataConfig, task: Task, seeds: Seeds) -> Dataset:
    """Generate a study's users.

    Args:
        config: How many sharers and targets (12 of each by default) and how long inputs may be.
        task: The task; the generated users write headlines.
        seeds: Where the people come from.

    Returns:
        Public users, sharers and targets.

    Raises:
        DataError: The task is not about headlines.
    """
    if task.id != "lamp-4":
        raise DataError(
            f"task {task.id}: the generated users only write headlines (lamp-4)",
            hint="set data.path to your own users, or choose the task lamp-4",
        )
    people = make_users(config.sharers or SHARERS, config.targets or TARGETS, seeds)
    return make_dataset(
        task, shortened((*make_public(config.public or PUBLIC, seeds), *people), config.max_input_words)
    )
