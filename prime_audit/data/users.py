"""Users and their records, as every other room sees them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal, get_args

from prime_audit.core import digest_json
from prime_audit.data.tasks import Item, Task, described

__all__ = ["ROLES", "Dataset", "Item", "Role", "User", "make_dataset", "shortened"]

Role = Literal["target", "sharer", "public"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class User:
    """One person's records.

    Attributes:
        id: Safe as a file name.
        role: Personalised for (target), shares a module (sharer), or used for task adaptation (public).
        history: Past items, each with an answer, in the order of the file.
        queries: What is asked about now; those of a target have answers. Those of sharers are kept where
            their file has answers too, and are not used; those of public users may adapt the base.
        profile_text: A summary of the person that came with the data. It may describe held-out records,
            so a hold-out design must not show it to a method.
    """

    id: str
    role: Role
    history: tuple[Item, ...]
    queries: tuple[Item, ...]
    profile_text: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A task with its users.

    Attributes:
        task: What is asked of the model.
        users: Everyone, in the order of the files.
        digest: SHA-256 of the task and of every record.
        notes: What the reader should know of how the files were read, such as records left out.
    """

    task: Task
    users: tuple[User, ...]
    digest: str
    notes: tuple[str, ...] = ()

    @cached_property
    def targets(self) -> tuple[User, ...]:
        """The users who are personalised for."""
        return self._with_role("target")

    @cached_property
    def sharers(self) -> tuple[User, ...]:
        """The users who shared a module."""
        return self._with_role("sharer")

    @cached_property
    def public(self) -> tuple[User, ...]:
        """The users whose records adapt the base."""
        return self._with_role("public")

    def user(self, user_id: str) -> User:
        """Return one user.

        Args:
            user_id: The id.

        Returns:
            The user.

        Raises:
            KeyError: Nobody has this id.
        """
        return self._by_id[user_id]

    def _with_role(self, role: Role) -> tuple[User, ...]:
        return tuple(user for user in self.users if user.role == role)

    @cached_property
    def _by_id(self) -> dict[str, User]:
        return {user.id: user for user in self.users}


def make_dataset(task: Task, users: Sequence[User], notes: Sequence[str] = ()) -> Dataset:
    """Put users and task together and digest them.

    Args:
        task: The task.
        users: The users; their ids differ.
        notes: What the reader should know of how the files were read.

    Returns:
        The dataset.
    """
    digest = digest_json({"task": described(task), "users": [asdict(user) for user in users]})
    return Dataset(task=task, users=tuple(users), digest=digest, notes=tuple(notes))


def shortened(users: tuple[User, ...], max_words: int | None) -> tuple[User, ...]:
    """Cut every input to its first words.

    Args:
        users: The users.
        max_words: The longest input in words between white space; None leaves all as they are.

    Returns:
        The users with their inputs cut; a shorter input is unchanged to the letter.
    """
    if max_words is None:
        return users
    return tuple(
        replace(
            user,
            history=tuple(_cut(item, max_words) for item in user.history),
            queries=tuple(_cut(item, max_words) for item in user.queries),
        )
        for user in users
    )


def _cut(item: Item, max_words: int) -> Item:
    words = item.input.split()
    return replace(item, input=" ".join(words[:max_words])) if len(words) > max_words else item
