"""How a generated user writes headlines: a style, drawn around the style of the user's family."""

from dataclasses import dataclass, fields, replace

import numpy as np

PREFIXES = ("Opinion:", "Update:", "Notebook:", "Dispatch:", "Letters:", "Spotlight:", "Bulletin:", "Diary:")
CLOSINGS = ("again", "at last", "for now", "say locals", "no doubt", "in brief", "so far", "or so")
JOINS = (", a", "and a", ": one", "like a", "- the", "with a")
SUBJECTS = ("body", "person", "place")
ORDERS = ("subject-first", "object-first", "closing-first", "detail-first")
VOICES = 5
FAMILIES = 4


@dataclass(frozen=True)
class Style:
    """The habits of one writer, each the index of an option.

    Args:
        prefix: The word that begins the headline (`PREFIXES`).
        closing: The words that end it (`CLOSINGS`).
        join: How the unpredictable detail is tied in (`JOINS`).
        subject: Who the headline says has acted (`SUBJECTS`).
        order: The order of the parts (`ORDERS`).
        voice: Which of an event's headline verbs is used (`VOICES` of them).
    """

    prefix: int
    closing: int
    join: int
    subject: int
    order: int
    voice: int


OPTIONS: dict[str, int] = {
    "prefix": len(PREFIXES),
    "closing": len(CLOSINGS),
    "join": len(JOINS),
    "subject": len(SUBJECTS),
    "order": len(ORDERS),
    "voice": VOICES,
}


def random_style(rng: np.random.Generator) -> Style:
    """Draw every habit on its own, evenly.

    Args:
        rng: The stream to draw from.

    Returns:
        A style that belongs to no family.
    """
    return Style(**{field.name: int(rng.integers(OPTIONS[field.name])) for field in fields(Style)})


def family_styles(rng: np.random.Generator) -> tuple[Style, ...]:
    """Draw the styles of the families, different from each other in every habit that has options enough.

    Args:
        rng: The stream to draw from.

    Returns:
        `FAMILIES` styles.
    """
    columns = {name: rng.permutation(count) for name, count in OPTIONS.items()}
    return tuple(
        Style(**{name: int(column[family % len(column)]) for name, column in columns.items()})
        for family in range(FAMILIES)
    )


def vary(style: Style, rng: np.random.Generator, chance: float) -> Style:
    """Redraw each habit with some chance.

    Args:
        style: Where to start.
        rng: The stream to draw from.
        chance: The probability that a habit is drawn anew, from 0 to 1.

    Returns:
        The varied style.
    """
    changed = {
        name: int(rng.integers(count)) for name, count in OPTIONS.items() if float(rng.random()) < chance
    }
    return replace(style, **changed)


def render(style: Style, subject: str, verb: str, thing: str, detail: str) -> str:
    """Write a headline.

    Args:
        style: The habits to follow.
        subject: Who acted.
        verb: The headline verb.
        thing: What was acted on.
        detail: The words that the text does not tell.

    Returns:
        The headline, one line.
    """
    prefix, closing, join = PREFIXES[style.prefix], CLOSINGS[style.closing], JOINS[style.join]
    bare = join.lstrip(",:- ")
    lines = {
        "subject-first": f"{prefix} {subject} {verb} {thing} {join} {detail}, {closing}",
        "object-first": f"{prefix} {thing} that {subject} {verb} {join} {detail}, {closing}",
        "closing-first": f"{prefix} {closing}, {subject} {verb} {thing} {join} {detail}",
        "detail-first": f"{prefix} {bare} {detail} as {subject} {verb} {thing}, {closing}",
    }
    return lines[ORDERS[style.order]].replace(" ,", ",").replace(" :", ":")
