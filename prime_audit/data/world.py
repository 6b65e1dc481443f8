"""Generated users: news-like texts with headlines in each user's own style.

Three things are true of this world by construction. A headline says who did what, and the text tells it;
it says so in habits that a user shares with a family of other users; and it adds two words that nothing
tells, which a model can only know by having been trained on the record. Users of a family also prefer the
same topics. Public users write in styles that belong to no family.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prime_audit.core.seeds import Seeds
from prime_audit.data.users import Item, User
from prime_audit.data.world_style import (
    FAMILIES,
    SUBJECTS,
    Style,
    family_styles,
    random_style,
    render,
    vary,
)
from prime_audit.data.world_words import (
    DAYS,
    EPITHETS,
    FIGURES,
    FIRST_NAMES,
    PLACES,
    SURNAMES,
    TOPICS,
)

# How often a user differs from the family, and a record from its user, in any one habit.
USER_CHANCE = 0.15
RECORD_CHANCE = 0.08
FAVOURITE_SHARE = 0.7


@dataclass(frozen=True)
class _Writer:
    """A user's habits: style and topic preferences (a probability per topic)."""

    style: Style
    topics: np.ndarray


def make_users(
    n_sharers: int, n_targets: int, seeds: Seeds, records: int = 40, queries: int = 8
) -> tuple[User, ...]:
    """Generate sharers and targets.

    Families go round: the first sharer and the first target belong to one family, the second ones to the
    next. A user's records do not depend on how many users there are.

    Args:
        n_sharers: How many sharers, at least 0.
        n_targets: How many targets, at least 0.
        seeds: Where the streams come from.
        records: Records in each history.
        queries: Queries of each target; sharers have none.

    Returns:
        The sharers, then the targets.
    """
    sharers = [_family_user("sharer", i, seeds, records, 0) for i in range(n_sharers)]
    targets = [_family_user("target", i, seeds, records, queries) for i in range(n_targets)]
    return (*sharers, *targets)


def make_public(n_users: int, seeds: Seeds, records: int = 8) -> tuple[User, ...]:
    """Generate public users, who belong to no family and prefer no topic.

    Args:
        n_users: How many, at least 0.
        seeds: Where the streams come from.
        records: Records in each history.

    Returns:
        The public users, without queries.
    """
    users = []
    for index in range(n_users):
        name = f"public-{index + 1:02d}"
        rng = seeds.generator("world", name)
        items = _items(f"{name}-h", _public_writer(rng), rng, records)
        users.append(User(id=name, role="public", history=items, queries=()))
    return tuple(users)


def pretraining_text(n_authors: int, seeds: Seeds, records: int = 4) -> Iterator[tuple[Item, ...]]:
    """Generate the public authors that the bundled model is trained on, one after the other.

    Args:
        n_authors: How many authors.
        seeds: Where the streams come from; another root than any study's keeps the authors apart.
        records: Records of each author.

    Yields:
        The records of one author.
    """
    rng = seeds.generator("world", "pretraining")
    for index in range(n_authors):
        yield _items(f"author-{index + 1}-", _public_writer(rng), rng, records)


def family_of(position: int) -> int:
    """Return the family of the sharer or target at a position, from 0.

    Args:
        position: The place in the list of sharers, or of targets.

    Returns:
        The index of the family.
    """
    return position % FAMILIES


def _family_user(
    role: Literal["sharer", "target"], position: int, seeds: Seeds, records: int, queries: int
) -> User:
    name = f"{role}-{position + 1:02d}"
    rng = seeds.generator("world", name)
    family = family_of(position)
    style = family_styles(seeds.generator("world", "families"))[family]
    writer = _Writer(vary(style, rng, USER_CHANCE), _family_topics(family, seeds))
    history = _items(f"{name}-h", writer, rng, records)
    return User(id=name, role=role, history=history, queries=_items(f"{name}-q", writer, rng, queries))


def _family_topics(family: int, seeds: Seeds) -> np.ndarray:
    order = seeds.generator("world", "topics").permutation(len(TOPICS))
    favourites = order.reshape(FAMILIES, -1)[family]
    share = np.full(len(TOPICS), (1 - FAVOURITE_SHARE) / len(TOPICS))
    share[favourites] += FAVOURITE_SHARE / len(favourites)
    return share


def _public_writer(rng: np.random.Generator) -> _Writer:
    return _Writer(random_style(rng), np.full(len(TOPICS), 1 / len(TOPICS)))


def _items(stem: str, writer: _Writer, rng: np.random.Generator, count: int) -> tuple[Item, ...]:
    return tuple(_item(f"{stem}{index + 1:02d}", writer, rng) for index in range(count))


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _item(name: str, writer: _Writer, rng: np.random.Generator) -> Item:
    topic = TOPICS[int(rng.choice(len(TOPICS), p=writer.topics))]
    event = topic.events[int(rng.integers(len(topic.events)))]
    place, surname, thing = _pick(PLACES, rng), _pick(SURNAMES, rng), _pick(topic.objects, rng)
    body = f"{_pick(PLACES, rng)} {_pick(topic.bodies, rng)}"
    role, first, day, aside = (_pick(w, rng) for w in (topic.roles, FIRST_NAMES, DAYS, topic.asides))
    number = int(rng.integers(2, 100))
    openings = (
        f"{body} {event.told} the {thing} in {place} on {day}.",
        f"On {day} in {place}, {body} {event.told} the {thing}.",
        f"The {thing} in {place} was the one that {body} {event.told} on {day}.",
    )
    sequels = (
        f"{first} {surname}, a {role}, said {aside}.",
        f'"After {number} days, {aside}," said the {role} {first} {surname}.',
        f"The {role} {first} {surname} waited {number} days and told reporters that {aside}.",
    )
    text = f"{_pick(openings, rng)} {_pick(sequels, rng)}"
    style = vary(writer.style, rng, RECORD_CHANCE)
    subject = {"body": body, "person": surname, "place": place}[SUBJECTS[style.subject]]
    detail = f"{_pick(EPITHETS, rng)} {_pick(FIGURES, rng)}"
    answer = render(style, subject, event.headlines[style.voice], thing, detail)
    return Item(id=name, input=text, answer=answer)
