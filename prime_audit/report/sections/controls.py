"""Runs that must show what a full leak, or none, looks like."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import cell, control_behaviour, unexpected_controls

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
    attacks = tuple(attack.id for attack in source.attacks)
    rows = []
    for control in source.controls:
        expected, seen = control_behaviour(source, control)
        figures = (cell(source.metric("mia.auc", control.id, attack)) for attack in attacks)
        rows.append((control.id, expected, f"{_MARKS[seen]} {seen}", *figures))
    head = ("Control", "What it must do", "What it did", *(f"AUC {attack}" for attack in attacks))
    return {
        "table": Table("Controls", head, tuple(rows), text=3),
        "unexpected": unexpected_controls(source),
    }
