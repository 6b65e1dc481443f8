"""What merging deployed: whose modules, how much of each, how large, what was reverted, and notes."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median

from prime_audit.core import plural
from prime_audit.report.parts import Table
from prime_audit.report.searches import shares
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, TIMES, family, number, signed
from prime_audit.results import Search, SliceValue

_MOST_TARGETS = 40
_MOST_TEXTS = 6


def deployed_table(source: Source) -> Table:
    """Sum up what each method deployed over its targets.

    Args:
        source: The run.

    Returns:
        A row per merging method or deployed control.
    """
    families = {method.id: family(method) for method in source.results.methods}
    controls = frozenset(family(method) for method in source.results.methods if method.family == "control")
    rows = []
    for name, entries in source.searches.items():
        merged = [entry for entry in entries if not entry.reverted]
        ratios = [entry.norm_ratio for entry in merged if entry.norm_ratio is not None]
        parts = [part for entry in merged if (part := shares(entry.weights))]
        largest = [max(part) for part in parts]
        effective = [1 / sum(share**2 for share in part) for part in parts]
        rows.append(
            (
                name,
                families[name],
                f"{len(merged)} of {len(entries)}",
                _mean_and_range(ratios),
                _mean_and_range(largest),
                number(fmean(effective) if effective else None, 1),
            )
        )
    head = ("Method", "Family", "merged for", "norm ratio", "largest share", "sharers in effect")
    caption = "What was deployed: means over the targets that were merged for (lowest to highest in brackets)"
    return Table(caption, head, tuple(rows), text=2, badges=controls)


def _mean_and_range(values: Sequence[float]) -> str:
    if not values:
        return DASH
    return f"{number(fmean(values), 2)}\n({number(min(values), 2)} to {number(max(values), 2)})"


def reverts_table(source: Source) -> Table | None:
    """Count the targets that fell back to the base, per method and reason.

    Args:
        source: The run.

    Returns:
        The table, the most frequent reason of each method first; None where nothing was reverted.
    """
    rows = []
    for name, entries in source.searches.items():
        back = [entry for entry in entries if entry.reverted]
        for reason, count in Counter(
            entry.reason or "no reason was recorded" for entry in back
        ).most_common():
            which = ", ".join(e.target for e in back if (e.reason or "no reason was recorded") == reason)
            rows.append((name, reason, which, f"{count} of {len(entries)}"))
    head = ("Method", "Why", "Targets", "how many")
    return (
        Table("What was reverted to the base, and why", head, tuple(rows), text=3, wide=1) if rows else None
    )


def notes_table(source: Source) -> Table | None:
    """Sum up over targets what the methods noted beside their weights.

    Args:
        source: The run.

    Returns:
        The table: numbers as lowest, median and highest, texts with their counts; None without notes.
    """
    rows = []
    for name, entries in source.searches.items():
        for note in dict.fromkeys(note for entry in entries for note in entry.notes):
            values = [entry.notes[note] for entry in entries if note in entry.notes]
            rows.append((name, note, _summary(values), f"{len(values)} of {len(entries)}"))
    head = ("Method", "What", "lowest / median / highest, or values with counts", "targets")
    return Table("What the methods noted", head, tuple(rows), text=3, wide=2) if rows else None


def _summary(values: Sequence[SliceValue]) -> str:
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        low, middle, high = min(numbers), median(numbers), max(numbers)
        return f"{low:.4g}" if low == high else f"{low:.4g} / {middle:.4g} / {high:.4g}"
    counted = Counter(("yes" if v else "no") if isinstance(v, bool) else str(v) for v in values)
    texts = [f"{text} ({TIMES}{count})" for text, count in counted.most_common(_MOST_TEXTS)]
    left = len(counted) - len(texts)
    return ", ".join(texts) + (f" and {plural(left, 'other value')}" if left else "")


def heat(method: str, entries: Sequence[Search]) -> dict[str, object]:
    """Prepare the weights of one method, target by target.

    Args:
        method: The method's id.
        entries: Its searches.

    Returns:
        What the template shows.
    """
    rows = [_heat_row(entry) for entry in entries[:_MOST_TARGETS]]
    return {
        "method": method,
        "rows": rows,
        "slots": max(len(entry.sharers) for entry in entries),
        "targets": plural(len(entries), "target"),
        "left": len(entries) - len(rows),
    }


def _heat_row(entry: Search) -> dict[str, object]:
    held = shares(entry.weights) or (0.0,) * len(entry.weights)
    top = max(held, default=0.0) or 1.0
    cells = [
        {
            "sharer": sharer,
            "weight": signed(weight, 2),
            "sign": "minus" if weight < 0 else "plus",
            "percent": f"{100 * share:.0f} %",
            "shade": round(55 * share / top),
        }
        for sharer, weight, share in zip(entry.sharers, entry.weights, held, strict=bool(entry.weights))
    ]
    ratio = None if entry.reverted else entry.norm_ratio
    note = entry.reason
    if entry.reverted:
        note = f"reverted to the base: {entry.reason}" if entry.reason else "reverted to the base"
    return {"target": entry.target, "cells": cells, "ratio": number(ratio, 2), "note": note}
