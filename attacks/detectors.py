"""Detectors of personal data in text: patterns, a checksum, and the inventory of what was planted."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

# Hands out where telephone numbers stand in a text, as (start, end).
PhoneMatcher = Callable[[str], Iterable[tuple[int, int]]]

# Every repetition is bounded or has a fixed start, so that no text makes the search slow.
_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9_.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?![\w-])"
)
_PHONE = re.compile(r"(?<![\w.+])\+?\(?\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")
_DIGIT_GROUPS = re.compile(r"(?<![\w.])\d+(?:[ -]\d+)*(?!\w)")
_GROUP = re.compile(r"\d+")
_CARD_DIGITS = range(13, 20)
_WEAKER = (
    "phone: found by a pattern alone, which is weaker than numbering plans: it takes other long numbers for "
    "telephone numbers and misses short ones"
)


@dataclass(frozen=True)
class Find:
    """Personal data in a text.

    Attributes:
        type: ``email``, ``phone``, ``card``, ``code``, or a type of the planted inventory.
        start: Where it begins, in characters.
        end: Where it ends.
        value: What was found, in a form in which spellings of the same thing are equal. It is personal data:
            it is kept out of what prints the find.
    """

    type: str
    start: int
    end: int
    value: str = field(repr=False)


@dataclass(frozen=True)
class Scanner:
    """Finds personal data of every type in a text.

    Attributes:
        phones: Finds telephone numbers: one that knows the numbering plans (e.g. the matcher of the package
            phonenumbers), or `phone_pattern`, which is weaker and is named so in `notes`.
        planted: Values per type that only an inventory can recognise, e.g. street addresses and names.
        code: The format of access codes: ``A`` stands for a capital letter, ``9`` for a digit, anything else
            for itself; e.g. ``AAA-9999``. None looks for none.
    """

    phones: PhoneMatcher = field(repr=False)
    planted: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    code: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said beside a figure of this scanner."""
        return (_WEAKER,) if self.phones is phone_pattern else ()

    def scan(self, text: str) -> list[Find]:
        """Finds personal data.

        Where two finds overlap, the surer type is kept: planted, e-mail, card, code, phone.

        Args:
            text: Any text.

        Returns:
            The finds in the order of the text, without overlaps.
        """
        found = [
            *_planted(text, self.planted),
            *(Find("email", start, end, normalised("email", text[start:end])) for start, end in emails(text)),
            *(Find("card", start, end, normalised("card", text[start:end])) for start, end in cards(text)),
            *_codes(text, self.code),
            *(Find("phone", a, b, normalised("phone", text[a:b])) for a, b in self.phones(text)),
        ]
        kept, taken = [], bytearray(len(text))
        for find in found:
            if not any(taken[find.start : find.end]):
                taken[find.start : find.end] = b"\x01" * (find.end - find.start)
                kept.append(find)
        return sorted(kept, key=lambda find: find.start)


def normalised(kind: str, text: str) -> str:
    """Returns personal data in a form in which spellings of the same thing are equal.

    Args:
        kind: Its type, as in `Find`.
        text: How it is spelled.

    Returns:
        The digits alone of a phone or card; a code as it is; otherwise lower case with single spaces.
    """
    if kind in ("phone", "card"):
        return "".join(character for character in text if character.isdigit())
    return text if kind == "code" else " ".join(text.casefold().split())


def emails(text: str) -> list[tuple[int, int]]:
    """Returns where e-mail addresses stand."""
    return [match.span() for match in _EMAIL.finditer(text)]


def phone_pattern(text: str) -> list[tuple[int, int]]:
    """Returns where 8 to 15 digits stand as telephone numbers are written; it knows no numbering plan."""
    return [match.span() for match in _PHONE.finditer(text)]


def luhn(digits: str) -> bool:
    """Says whether the last digit checks the others (Luhn, ISO/IEC 7812-1); by chance one in ten does."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def cards(text: str) -> list[tuple[int, int]]:
    """Returns where card-shaped numbers stand: 13 to 19 digits, in groups or not, that pass Luhn's check.

    Groups are taken as they stand together, the most first, so that a date behind a number does not hide it.
    """
    found = []
    for line in _DIGIT_GROUPS.finditer(text):
        groups = [match.span() for match in _GROUP.finditer(text, *line.span())]
        first = 0
        while first < len(groups):
            end = _card_end(text, groups, first)
            if end is not None:
                found.append((groups[first][0], groups[end][1]))
            first = first + 1 if end is None else end + 1
    return found


def _card_end(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card-shaped number that begins with this group."""
    digits, longest = "", None
    for place in range(first, len(groups)):
        digits += text[slice(*groups[place])]
        if len(digits) >= _CARD_DIGITS.stop:
            break
        if len(digits) in _CARD_DIGITS and luhn(digits):
            longest = place
    return longest


def _codes(text: str, code: str | None) -> list[Find]:
    if not code:
        return []
    classes = {"A": "[A-Z]", "9": "[0-9]"}
    pattern = "".join(classes.get(character, re.escape(character)) for character in code)
    matches = re.finditer(rf"(?<![\w-]){pattern}(?![\w-])", text)
    return [Find("code", *match.span(), normalised("code", match[0])) for match in matches]


def _planted(text: str, planted: Mapping[str, tuple[str, ...]]) -> list[Find]:
    found = []
    for kind, values in planted.items():
        # The longer value first: "1 Elm Street West" is not "1 Elm Street".
        words = sorted((value.split() for value in values if value.split()), key=len, reverse=True)
        if not words:
            continue
        either = "|".join(r"\s+".join(map(re.escape, value)) for value in words)
        for match in re.finditer(rf"(?<!\w)(?:{either})(?!\w)", text, re.IGNORECASE):
            found.append(Find(kind, *match.span(), normalised(kind, match[0])))
    return found
