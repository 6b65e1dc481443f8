"""Attributes: do modules, merge weights or the choice of sharers say what kind of person it is?"""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, p_value
from prime_audit.results import Metric

_SOURCES = {
    "modules": "sharer, from the module",
    "choice": "target, from the choice of sharers",
    "weights": "target, from the weights alone",
    "both": "target, from choice and weights",
}
_WORDS = {
    "family": "family of a generated user",
    "label": "most frequent answer",
    "length": "length of answers, in thirds",
}
_HEAD = (
    "Attribute",
    "Whose, and from what",
    "Method",
    "Guessed right",
    "Most frequent",
    "p (Holm)",
    "People",
)


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no attribute was asked for.
    """
    found = {
        (m.id.removeprefix("attribute."), *_part(m), m.method): m
        for m in source.results.metrics
        if m.id.startswith("attribute.")
    }
    rows = [(what, origin, method) for name, what, origin, method in found if name == "accuracy"]
    if not rows:
        return None

    def row(attribute: str, origin: str, method: str | None) -> tuple[str, ...]:
        accuracy, majority, p = (
            found.get((name, attribute, origin, method)) for name in ("accuracy", "majority", "p_holm")
        )
        return (
            _WORDS.get(attribute, attribute),
            _SOURCES.get(origin, origin),
            method or "every one",
            cell(accuracy, 2),
            cell(majority, 2) if majority is not None and majority.value is not None else DASH,
            p_value(p.value) if p is not None and p.value is not None else DASH,
            DASH if accuracy is None or accuracy.n is None else _people(accuracy),
        )

    def table(caption: str, keys: list[tuple[str, str, str | None]]) -> Table | None:
        return Table(caption, _HEAD, tuple(row(*key) for key in keys), text=3) if keys else None

    # A study has as many rows of the second kind as methods, and more.
    return {
        "table": table("Attributes that were guessed", [key for key in rows if key[2] is None]),
        "by_method": table("From what each method deploys", [key for key in rows if key[2] is not None]),
    }


def _part(metric: Metric) -> tuple[str, str]:
    part = metric.slice or {}
    return str(part.get("attribute")), str(part.get("from"))


def _people(metric: Metric) -> str:
    return DASH if metric.n is None else f"{metric.n.scored} of {metric.n.attempted}"
