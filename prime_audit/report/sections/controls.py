"""Runs that must show what a full leak, or none, looks like."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, control_behaviour, unexpected_controls

_MARKS = {"as expected": "✔", "NOT as expected": "✖", "measured": "•", "not measured": "?"}


def view(source: Source) -> dict[str, object] | None:
    """Prepare a row per control.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no control was run.
    """
    if not source.controls:
        return None
    attacks = (*(attack.id for attack in source.attacks), *([source.blind] if source.blind else []))
    rows = []
    for control in source.controls:
        expected, seen = control_behaviour(source, control)
        figures = (cell(source.metric("mia.auc", control.id, attack)) for attack in attacks)
        known = [f.p for f in source.results.findings if f.method == control.id and f.p is not None]
        p = f"{min(known):.3g}" if known else DASH
        rows.append((control.id, expected, f"{_MARKS[seen]} {seen}", p, *figures))
    names = (f"AUC {attack}" for attack in attacks)
    head = ("Control", "What it must do", "What it did", "p over all attacks", *names)
    return {
        "table": Table("Controls", head, tuple(rows), text=3),
        "unexpected": unexpected_controls(source),
    }
