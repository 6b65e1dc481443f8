"""How the merge weights were found and what they are."""

from collections.abc import Sequence

from prime_audit.report.figures import search
from prime_audit.report.parts import Figure, Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, number, signed
from prime_audit.results import Search

_MOST = 12


def view(source: Source) -> dict[str, object] | None:
    """Draw the search of each method and list the weights per target.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no method searched or merged.
    """
    names = dict.fromkeys(entry.method for entry in source.results.search)
    groups = [
        _group(name, [entry for entry in source.results.search if entry.method == name]) for name in names
    ]
    return {"groups": groups} if groups else None


def _group(method: str, entries: Sequence[Search]) -> dict[str, object]:
    searched = [entry for entry in entries if len(entry.points) > 1]
    return {
        "method": method,
        "figure": _figure(method, searched) if searched else None,
        "weights": [_weights(entry) for entry in entries],
        "slots": range(1, max(len(entry.sharers) for entry in entries) + 1),
        "total": len(searched),
    }


def _figure(method: str, entries: Sequence[Search]) -> Figure:
    shown = entries[:_MOST]
    title = f"Search of {method}, target by target"
    left = (
        f" The first {len(shown)} of {len(entries)} targets are drawn." if len(shown) < len(entries) else ""
    )
    description = (
        "From left to right: the evaluated merges in their order. Solid is utility on the target's history, "
        "dashed is "
        f"similarity to the sharers' own outputs, the star is the merge that was chosen.{left}"
    )
    rows = tuple(_row(entry) for entry in entries)
    head = ("Target", "evaluated", "utility: first", "best", "chosen", "similarity: chosen", "measured on")
    name = f"search-{method.replace('.', '-')}"
    return Figure(name, title, description, search(name, title, description, shown), Table(title, head, rows))


def _row(entry: Search) -> tuple[str, ...]:
    known = [point.u for point in entry.points if point.u is not None]
    chosen = None if entry.chosen is None else entry.points[entry.chosen]
    return (
        entry.target,
        str(len(entry.points)),
        number(known[0] if known else None),
        number(max(known, default=None)),
        number(chosen.u if chosen else None),
        number(chosen.s if chosen else None),
        " ".join(chosen.part.split() if chosen else ()) or DASH,
    )


def _weights(entry: Search) -> dict[str, object]:
    point = None if entry.chosen is None else entry.points[entry.chosen]
    weights = point.w if point else ()
    top = max((abs(weight) for weight in weights), default=0.0) or 1.0
    cells = [
        {
            "sharer": sharer,
            "weight": signed(weight, 2),
            "sign": "minus" if weight < 0 else "plus",
            "share": round(55 * abs(weight) / top),
        }
        for sharer, weight in zip(entry.sharers, weights, strict=bool(weights))
    ]
    note = "nothing was chosen" if point is None else ""
    if entry.reverted:
        note = f"reverted to the base: {entry.reason}" if entry.reason else "reverted to the base"
    return {"target": entry.target, "cells": cells, "note": note}
