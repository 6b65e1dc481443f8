"""The order of dated records: which item comes before a question, and which may not be shown with it."""

import re
from collections.abc import Sequence

from prime_audit.data.tasks import Item

# A year of four digits, a month, a day, and a time where there is one; or a time stamp in seconds or finer.
_DATE = re.compile(r"\s*(\d{4}(?:[-/]\d{1,2}){0,2}|\d{9,})(?:[T ](\d{1,2}(?::\d{2}){0,2}).*)?\s*")


def date_parts(date: str | None) -> tuple[int, ...]:
    """Read a date as numbers, the largest unit first.

    Args:
        date: Such as `2015`, `2015-03-01` or `2015-03-01 10:30`, or a time stamp.

    Returns:
        The numbers; empty for one that is missing or written in another way, which reading data refuses.
    """
    found = _DATE.fullmatch(date or "")
    if found is None:
        return ()
    return tuple(int(part) for text in found.groups() if text for part in re.split(r"[-/:]", text))


def is_later(item: Item, query: Item) -> bool:
    """Say whether an item is later than a query, or may be.

    Args:
        item: A past item.
        query: What is asked about.

    Returns:
        True if its date is later, and also if one date tells less than the other and they agree as far as
        they go (2015 and 2015-03); False if either has no date, since a history lies in the past.
    """
    own, other = date_parts(item.date), date_parts(query.date)
    if not own or not other:
        return False
    common = min(len(own), len(other))
    if own[:common] != other[:common]:
        return own[:common] > other[:common]
    return len(own) != len(other)


def usable_for(query: Item, items: Sequence[Item]) -> list[int]:
    """Find the items that may be shown with a query: neither the item itself nor a later one.

    Args:
        query: What is asked about.
        items: Past items of the same user.

    Returns:
        Their positions, ascending.
    """
    return [place for place, item in enumerate(items) if item.id != query.id and not is_later(item, query)]


def by_date(items: Sequence[Item]) -> list[int]:
    """Sort items by date and, where dates are equal or missing, by their order.

    Args:
        items: Items of one user.

    Returns:
        Positions, the oldest first; items without a readable date are taken for the oldest.
    """
    return sorted(range(len(items)), key=lambda place: (date_parts(items[place].date), place))
