"""The descriptions and scores of `prime-audit data`, as lines for a reader."""

from collections.abc import Iterator, Mapping
from typing import Any


def described_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Put a description in lines.

    Args:
        found: What `describe` found, with `path` and `layout`.

    Yields:
        The lines.
    """
    yield f"{found['path']}: task {found['task']}, {found['layout']} layout"
    for role in ("targets", "sharers", "public"):
        part = found[role]
        if part["users"]:
            counts = f"{part['users']} users, {part['queries']} queries, {part['items']} past items"
            yield f"  {role:8} {counts} (each {_spread(part['items_per_user'])})"
        else:
            yield f"  {role:8} none"
    for name, spread in found["words"].items():
        if spread is not None:
            yield f"  words of {name.replace('_', ' ')}: {_spread(spread)}"
    for name, labels in found["labels"].items():
        if labels is not None:
            yield f"  labels of {name}: " + ", ".join(f"{label} {count}" for label, count in labels.items())
    dates = found["dates"]
    if dates["first"] is not None:
        yield f"  dates: {dates['first']} to {dates['last']}, {dates['missing']} items without"
    repeated = found["duplicates"]
    yield (
        f"  duplicates: {repeated['records_of_several_users']} past items in histories of several users, "
        f"{repeated['repeated_within_a_user']} within one"
    )
    for note in found["notes"]:
        yield f"  note: {note}"


def score_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Put scores in lines.

    Args:
        found: What `score_file` found.

    Yields:
        A table of all queries and of each target's.
    """
    metrics = list(found["metrics"])
    rows = {"all": found["metrics"], **found.get("users", {})}
    width = max(len(name) for name in ("user", *rows))
    yield "  ".join([f"{'user':{width}}", *(f"{name:>12}" for name in metrics)])
    for user, values in rows.items():
        yield "  ".join([f"{user:{width}}", *(f"{values[name]:12.4f}" for name in metrics)])


def _spread(spread: Mapping[str, float]) -> str:
    return f"{spread['min']:g} to {spread['max']:g}, median {spread['median']:g}"
