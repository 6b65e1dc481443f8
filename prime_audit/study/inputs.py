"""A study's users, read from files or generated."""

from prime_audit.config import StudyConfig
from prime_audit.core import Seeds
from prime_audit.data import (
    Dataset,
    Holdout,
    draw_holdout,
    everything_in,
    generated_dataset,
    load_task,
    read_dataset,
)

# The bundled users are one fixed world: a study's seed changes flips, training and search, not the people.
WORLD_SEED = 20251104


def load_dataset(config: StudyConfig) -> Dataset:
    """Reads or generates the users of a study.

    Args:
        config: The study; without a data path the users are generated, unless a layout says that there are
            files to be named.

    Returns:
        The users with their task.

    Raises:
        DataError: With every fault of the files.
    """
    task = load_task(config.task)
    if config.data.path is None and config.data.layout == "auto":
        return generated_dataset(config.data, task, Seeds(WORLD_SEED))
    return read_dataset(config.data, task)


def draw_design(config: StudyConfig, dataset: Dataset) -> Holdout:
    """Decides who is a member, by the study's design and seed.

    Args:
        config: The study.
        dataset: Its users.

    Returns:
        The design.
    """
    if config.audit.design == "prime-paper":
        return everything_in(dataset)
    return draw_holdout(dataset, Seeds(config.seed), config.sharers.calibration)
