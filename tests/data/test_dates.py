import pytest

from prime_audit.data import Item, by_date, is_later, usable_for
from prime_audit.data.dates import date_parts


def item(name: str, date: str | None = None) -> Item:
    return Item(name, "text", "answer", date)


@pytest.mark.parametrize(
    ("date", "parts"),
    [
        ("2015", (2015,)),
        ("2015-03-01", (2015, 3, 1)),
        ("2015/03", (2015, 3)),
        ("2015-03-01 10:30", (2015, 3, 1, 10, 30)),
        ("2015-03-01T10:30:05Z", (2015, 3, 1, 10, 30, 5)),
        ("1420070400", (1420070400,)),
        ("yesterday", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_dates_as_data_write_them(date: str | None, parts: tuple[int, ...]) -> None:
    assert date_parts(date) == parts


@pytest.mark.parametrize(
    ("own", "asked", "later"),
    [
        ("2014-12-31", "2015-01-01", False),
        ("2015-01-02", "2015-01-01", True),
        ("2015-01-01", "2015-01-01", False),
        # The year alone does not tell which came first.
        ("2015", "2015-06-01", True),
        ("2015-06-01", "2015", True),
        ("2014", "2015-06-01", False),
        (None, "2015", False),
        ("2016", None, False),
    ],
)
def test_a_later_item_or_one_that_may_be(own: str | None, asked: str | None, later: bool) -> None:
    assert is_later(item("a", own), item("q", asked)) is later


def test_neither_the_item_itself_nor_a_later_one_is_usable() -> None:
    items = [item("a", "2013"), item("q", "2012"), item("c", "2016"), item("d")]
    assert usable_for(item("q", "2015"), items) == [0, 3]


def test_by_date_then_by_order() -> None:
    items = [item("a", "2015-02"), item("b", "2014"), item("c", "2015-02"), item("d")]
    assert by_date(items) == [3, 1, 0, 2]
