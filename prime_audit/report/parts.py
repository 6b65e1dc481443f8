"""The two building blocks of the page: tables, and figures with a table twin."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table of text. The first column names the row; the first `text` columns are set to the left.

    `rows` hold one text per column. A text of `badges` is set as a badge in every column but the first;
    `wide` is the position of a column of sentences.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1
    badges: frozenset[str] = frozenset()
    wide: int | None = None


@dataclass(frozen=True)
class Figure:
    """A drawing with a title, a description for those who do not see it, and the same figures as a table."""

    id: str
    title: str
    description: str
    svg: Markup
    table: Table
