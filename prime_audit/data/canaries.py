"""Planted canaries (design D5): secrets that a recorded coin puts into a sharer's training, or leaves out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from prime_audit.config import CanariesConfig, CanaryType
from prime_audit.core import Seeds, digest_bytes, digest_json
from prime_audit.data.canary_types import PHRASE_LIST, canary_form, canary_item
from prime_audit.data.tasks import Item, Task
from prime_audit.data.users import User
from prime_audit.errors import ConfigError

# Canaries of one run disturb each other (2602.02819); an audit of epsilon keeps to this share of the tokens.
TOKEN_CAP = 0.05


@dataclass(frozen=True)
class Canary:
    """One secret and what the coin said of it.

    Attributes:
        id: Id of its item; no other canary of any sharer has it.
        user: Id of the sharer.
        kind: Its type.
        repetitions: How often the item stands in the sharer's training if it is inserted.
        inserted: What the coin said. A secret that was not inserted is a control: nothing is trained on it.
        secret: The secret; it is not printed.
        item: The history item that carries it.
    """

    id: str
    user: str
    kind: CanaryType
    repetitions: int
    inserted: bool
    secret: str = field(repr=False)
    item: Item = field(repr=False)


@dataclass(frozen=True)
class CanaryDesign:
    """Which secrets are planted in whose training: an arm of its own, unknown to the hold-out design.

    Attributes:
        canaries: By user id of each sharer who carries canaries, by type, then by repetitions.
        words: What the secrets of type `random-token` are made of.
    """

    canaries: Mapping[str, tuple[Canary, ...]]
    words: tuple[str, ...] = PHRASE_LIST

    def items(self, user: str) -> tuple[Item, ...]:
        """Return what is planted into a sharer's training, beside the members of the history.

        Args:
            user: Id of any user.

        Returns:
            Each inserted item as often as it is repeated, in the order of the canaries; nothing for a user
            who carries none.
        """
        return tuple(
            canary.item
            for canary in self.canaries.get(user, ())
            if canary.inserted
            for _ in range(canary.repetitions)
        )

    def of(self, kind: CanaryType) -> tuple[Canary, ...]:
        """Return the canaries of one type of all sharers, inserted and not."""
        return tuple(c for canaries in self.canaries.values() for c in canaries if c.kind == kind)

    def candidates(self, kind: CanaryType, count: int, seeds: Seeds) -> tuple[str, ...]:
        """Draw the secrets that those of one type are ranked among (the space R of 1802.08232).

        Args:
            kind: The type.
            count: How many; a longer draw begins with the shorter one.
            seeds: Where the draw comes from.

        Returns:
            Different secrets of the same form and as likely as the planted ones, none of which any sharer
            drew, inserted or not. The secret that is ranked is therefore not one of them.

        Raises:
            ValueError: The count is below 1 or more than the type has room for.
        """
        if count < 1:
            raise ValueError(f"count is {count}; a secret is ranked among at least one candidate")
        urn = seeds.generator("design", "canaries", "candidates", kind)
        return canary_form(kind, self.words).draw(urn, count, {canary.secret for canary in self.of(kind)})

    def share_of_tokens(self, user: str, members: Sequence[Item], length: Callable[[Item], int]) -> float:
        """Return how much of a sharer's training is canaries; an audit of epsilon keeps to `TOKEN_CAP`.

        Args:
            user: Id of the sharer.
            members: The other items that the sharer's module is trained on.
            length: Number of trained tokens (or words) of an item.

        Returns:
            The share of all tokens, from 0 to 1; 0 where nothing is planted.
        """
        planted = sum(map(length, self.items(user)))
        return planted / (planted + sum(map(length, members))) if planted else 0.0

    def manifest(self) -> dict[str, object]:
        """Return the design without any text, so that it can be published before the results.

        A digest of a secret gives away what can be guessed; every secret is made up, so nobody is harmed.

        Returns:
            `design`, `users` (id and canaries with `id`, `sha256` of the secret, `type`, `repetitions`,
            `inserted`), and `commitment`, the digest of all of it.
        """
        users = [
            {
                "id": user,
                "canaries": [
                    {
                        "id": canary.id,
                        "sha256": digest_bytes(canary.secret.encode("utf-8")),
                        "type": canary.kind,
                        "repetitions": canary.repetitions,
                        "inserted": canary.inserted,
                    }
                    for canary in canaries
                ],
            }
            for user, canaries in self.canaries.items()
        ]
        body: dict[str, object] = {"design": "canaries", "users": users}
        return {**body, "commitment": digest_json(body)}


def why_no_canaries(task: Task, loss: str) -> str | None:
    """Say why a task has no canaries.

    Args:
        task: The task.
        loss: `training.loss`: ``answer`` or ``full``.

    Returns:
        The reason; None where canaries can be planted: in a text task, whose answer carries the secret, and
        wherever the prompt is trained on as well.
    """
    if task.kind == "text" or loss == "full":
        return None
    return f"a {task.kind} task trains on labels alone, which carry no secret; it takes 'training.loss: full'"


def draw_canaries(
    sharers: Sequence[User],
    task: Task,
    loss: str,
    seeds: Seeds,
    settings: CanariesConfig,
    words: Sequence[str] = PHRASE_LIST,
) -> CanaryDesign:
    """Draw the secrets of each sharer and flip one fair coin per secret.

    The coins are independent of each other and of the secrets, which is what a one-run bound on epsilon
    asks for (2305.08846). A sharer's draws do not depend on who else is there.

    Args:
        sharers: The sharers, of whom the first `settings.sharers`, or all if they are fewer, carry canaries.
        task: The task; see `canary_item`.
        loss: `training.loss`: ``answer`` or ``full``.
        seeds: Where secrets and coins come from.
        settings: Types, repetitions, and canaries of each sharer, type and repetition.
        words: What the secrets of type `random-token` are made of.

    Returns:
        The design; all secrets are different.

    Raises:
        ConfigError: The task has no canaries, or two sharers drew the same secret.
        ValueError: The word list is not usable; see `canary_form`.
    """
    if reason := why_no_canaries(task, loss):
        raise ConfigError(f"audit.canaries: {reason}", hint="set training.loss to 'full', or leave them out")
    canaries = {
        user.id: tuple(
            canary
            for kind in settings.types
            for canary in _of_one_type(user.id, kind, task, seeds, settings, words)
        )
        for user in sharers[: settings.sharers]
    }
    secrets = [canary.secret for drawn in canaries.values() for canary in drawn]
    if len(set(secrets)) < len(secrets):
        # A control that another sharer's module was trained on would be none.
        raise ConfigError("audit.canaries: two sharers drew the same secret", hint="choose another seed")
    return CanaryDesign(MappingProxyType(canaries), tuple(words))


def _of_one_type(
    user: str, kind: CanaryType, task: Task, seeds: Seeds, settings: CanariesConfig, words: Sequence[str]
) -> list[Canary]:
    form, owner = canary_form(kind, words), digest_bytes(user.encode("utf-8"))[:12]
    found: list[Canary] = []
    for repetitions in settings.repetitions:
        cell = ("design", "canaries", user, kind, str(repetitions))
        taken = [canary.secret for canary in found]
        secrets = form.draw(seeds.generator(*cell, "secret"), settings.per_cell, taken)
        coin = seeds.generator(*cell, "coin").integers(0, 2, size=settings.per_cell)
        for index, (secret, side) in enumerate(zip(secrets, coin.tolist(), strict=True)):
            name = f"canary-{kind}-x{repetitions}-{index + 1}-{owner}"
            item = canary_item(kind, secret, name, task)
            found.append(Canary(name, user, kind, repetitions, bool(side), secret, item))
    return found
