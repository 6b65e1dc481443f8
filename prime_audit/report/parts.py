"""The two building blocks of the page: tables, and figures with a table twin."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table of text. The first column names the row; the first `text` columns are set to the left.

    `rows` hold one text per column.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1


@dataclass(frozen=True)
class Figure:
    """A drawing with a title, a description for those who do not see it, and the same figures as a table."""

    id: str
    title: str
    description: str
    svg: Markup
    table: Table
