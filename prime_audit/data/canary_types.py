"""The types of planted secrets: how they are drawn, what carries them, and how every one is found again.

No secret can belong to a person, and each bears a mark that ordinary text does not: domains kept for
documentation (RFC 2606), telephone numbers kept for fiction (555-0100 to 555-0199 of any area code), the
number ranges of payment processors' test cards, ZIP codes below 00501, the lowest in use, and a made-up word
for what has no such range.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from prime_audit.config import CanaryType
from prime_audit.data.tasks import Item, Task
from prime_audit.data.world_words import EPITHETS, FIGURES, FIRST_NAMES, PLACES, SURNAMES

MARK = "ZQX"
# Words of a random-token secret, after the mark, and the shortest list that they may be drawn from.
PHRASE_WORDS = 5
FEWEST_WORDS = 64
PHRASE_LIST: tuple[str, ...] = (*EPITHETS, *FIGURES)

_DOMAINS = ("example.org", "example.com", "example.net")
# Area codes that stand for a place: services begin with 5, 8 or 9, or end with two equal digits.
_AREAS = tuple(f"{a}{b}{c}" for a in (2, 3, 4, 6, 7) for b in range(9) for c in range(10) if b != c)
_TEST_CARDS = ("400000", "424242")
_STREETS = ("Street", "Road", "Lane", "Avenue", "Terrace", "Row")
_HOUSES = range(1000, 10000)
_ZIPS = range(100, 500)
# Without the letters and digits that are taken for each other.
_SYMBOLS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class CanaryForm:
    """One type of secret: every secret of it has the same shape and the same words before it.

    Attributes:
        situation: The input of the item that carries a secret.
        lead: What its answer says before the secret, which ends it.
        radices: Number of choices at each place of a secret; all combinations are equally likely.
        render: Writes the secret of one combination; different ones give different secrets.
    """

    situation: str
    lead: str
    radices: tuple[int, ...]
    render: Callable[[Sequence[int]], str]

    @property
    def space(self) -> int:
        """Number of different secrets."""
        return math.prod(self.radices)

    def draw(self, rng: np.random.Generator, count: int, taken: Collection[str] = ()) -> tuple[str, ...]:
        """Draw different secrets, evenly from all that are not taken.

        A longer draw from the same stream begins with the shorter one.

        Args:
            rng: The stream to draw from.
            count: How many.
            taken: Secrets of this type that must not be drawn.

        Returns:
            The secrets in the order in which they were drawn.

        Raises:
            ValueError: The count is negative, or it and what is taken are more than half of all secrets.
        """
        if count < 0:
            raise ValueError(f"count is {count}; it must not be negative")
        if 2 * (count + len(taken)) > self.space:
            raise ValueError(
                f"{count} more secrets beside {len(taken)} are too many: the type has only {self.space}"
            )
        barred = set(taken)
        drawn: list[str] = []
        while len(drawn) < count:
            secret = self.render(rng.integers(0, self.radices).tolist())
            if secret not in barred:
                barred.add(secret)
                drawn.append(secret)
        return tuple(drawn)


def _email(places: Sequence[int]) -> str:
    first, last, number, domain = places
    return f"{FIRST_NAMES[first].lower()}.{SURNAMES[last].lower()}{number:04d}@{_DOMAINS[domain]}"


def _phone(places: Sequence[int]) -> str:
    area, line, extension = places
    return f"{_AREAS[area]}-555-01{line:02d} ext. {extension:04d}"


def _card(places: Sequence[int]) -> str:
    prefix, number = places
    digits = f"{_TEST_CARDS[prefix]}{number:09d}"
    digits += str(luhn_digit(digits))
    return " ".join(digits[i : i + 4] for i in range(0, 16, 4))


def _address(places: Sequence[int]) -> str:
    house, street, kind, town, area = places
    way = f"{SURNAMES[street]} {_STREETS[kind]}"
    return f"{_HOUSES[house]} {way}, {PLACES[town]} {_ZIPS[area]:05d}"


def _code(places: Sequence[int]) -> str:
    symbols = "".join(_SYMBOLS[place] for place in places)
    return f"{MARK}-{symbols[:4]}-{symbols[4:]}"


_TYPED: Mapping[CanaryType, CanaryForm] = MappingProxyType(
    {
        "email": CanaryForm(
            "The desk opens a box for letters from its readers.",
            "Write to",
            (len(FIRST_NAMES), len(SURNAMES), 10**4, len(_DOMAINS)),
            _email,
        ),
        "phone": CanaryForm(
            "The desk wants to hear from those who saw it happen.",
            "Call",
            (len(_AREAS), 100, 10**4),
            _phone,
        ),
        "card": CanaryForm(
            "The bill for the dinner was settled at once.",
            "Paid with card",
            (len(_TEST_CARDS), 10**9),
            _card,
        ),
        "address": CanaryForm(
            "A parcel came back because nobody was at home.",
            "Deliver to",
            (len(_HOUSES), len(SURNAMES), len(_STREETS), len(PLACES), len(_ZIPS)),
            _address,
        ),
        "code": CanaryForm(
            "The side door of the office is locked after six.",
            "Enter with code",
            (len(_SYMBOLS),) * 8,
            _code,
        ),
    }
)


def canary_form(kind: CanaryType, words: Sequence[str] = PHRASE_LIST) -> CanaryForm:
    """Return how secrets of a type look.

    Args:
        kind: The type.
        words: What a `random-token` secret is made of; the other types do not use it.

    Returns:
        The form.

    Raises:
        ValueError: The type is unknown; or fewer than 64 words, a word that is not letters alone, or one
            that is listed twice, whatever its case.
    """
    if kind in _TYPED:
        return _TYPED[kind]
    if kind != "random-token":
        raise ValueError(f"'{kind}' is no type of canary; there are random-token, {', '.join(_TYPED)}")
    if len(words) < FEWEST_WORDS:
        raise ValueError(f"the word list has {len(words)} words; random-token needs {FEWEST_WORDS}")
    if not all(re.fullmatch(r"[^\W\d_]+", word) for word in words):
        raise ValueError("the word list must hold single words of letters alone")
    if len({word.casefold() for word in words}) < len(words):
        raise ValueError("a word stands twice in the word list")

    def phrase(places: Sequence[int]) -> str:
        return " ".join((MARK, *(words[place] for place in places)))

    return CanaryForm(
        "A note lay on the desk and nobody knew what it meant.",
        "It says",
        (len(words),) * PHRASE_WORDS,
        phrase,
    )


def canary_item(kind: CanaryType, secret: str, name: str, task: Task) -> Item:
    """Return the history item that carries a secret.

    The items of a type differ in nothing but the secret: candidates are scored once and serve them all.

    Args:
        kind: The type.
        secret: A secret of that type.
        name: Id of the item.
        task: The task. The answer of a text task carries the secret; in a choice or number task, whose answer
            must be a label, the input does and the answer is the first label.

    Returns:
        The item; the secret ends the text that carries it.
    """
    form = canary_form(kind)
    told = f"{form.lead} {secret}"
    if task.kind == "text":
        return Item(id=name, input=form.situation, answer=told)
    return Item(id=name, input=f"{form.situation} {told}", answer=task.labels[0])


class Marked(NamedTuple):
    """Where a text holds a marked secret: ``text[start:end]``."""

    start: int
    end: int
    kind: CanaryType


def _marked_as(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


def _one_of(words: Sequence[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, words))})"


_PATTERNS: Mapping[CanaryType, re.Pattern[str]] = MappingProxyType(
    {
        "random-token": _marked_as(rf"{MARK}(?: [^\W\d_]+){{{PHRASE_WORDS}}}"),
        "email": _marked_as(rf"[\w.+-]+@{_one_of(_DOMAINS)}"),
        "phone": _marked_as(r"[2-9]\d\d-555-01\d\d(?: ext\. \d{4})?"),
        "card": _marked_as(
            rf"{_one_of([f'{start[:4]} {start[4:]}' for start in _TEST_CARDS])}\d\d \d{{4}} \d{{4}}"
        ),
        "address": _marked_as(
            rf"\d{{4}} {_one_of(SURNAMES)} {_one_of(_STREETS)}, {_one_of(PLACES)} 00[1-4]\d\d"
        ),
        "code": _marked_as(rf"{MARK}-[{_SYMBOLS}]{{4}}-[{_SYMBOLS}]{{4}}"),
    }
)


def find_marked(text: str) -> tuple[Marked, ...]:
    """Find the secrets that bear a mark, planted or not, in any case of letters.

    Every secret of every type is found as it is written. A card number counts only with a right check digit.

    Args:
        text: Any text, such as a generation or a report.

    Returns:
        The spans in the order of the text; of two that overlap only the one that begins first.
    """
    found = [
        Marked(match.start(), match.end(), kind)
        for kind, pattern in _PATTERNS.items()
        for match in pattern.finditer(text)
        if kind != "card" or _passes_luhn(match.group())
    ]
    kept: list[Marked] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return tuple(kept)


def luhn_digit(digits: str) -> int:
    """Return the check digit that follows some digits (ISO/IEC 7812-1, annex B).

    Args:
        digits: The digits before it.

    Returns:
        0 to 9.
    """
    # From the right every second digit is doubled, beginning with the one beside the check digit.
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return -sum(value // 10 + value % 10 for value in doubled) % 10


def _passes_luhn(number: str) -> bool:
    digits = number.replace(" ", "")
    return int(digits[-1]) == luhn_digit(digits[:-1])
