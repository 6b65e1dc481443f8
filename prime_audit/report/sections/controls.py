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
        What the template shows; None where no control was run, and for lists that nobody drew, where
        controls stand among the attacks and nothing is expected of them.
    """
    if not source.controls or (source.lists and source.observed):
        return None
    attacks = _attacks(source)
    rows = []
    for control in source.controls:
        expected, seen = control_behaviour(source, control)
        figures = (cell(source.metric("mia.auc", control.id, attack)) for attack in attacks)
        known = [finding.p for finding in source.on_records(control.id) if finding.p is not None]
        p = f"{min(known):.3g}" if known else DASH
        rows.append((control.id, expected, f"{_MARKS[seen]} {seen}", p, *figures))
    names = (f"AUC {attack}" for attack in attacks)
    head = ("Control", "What it must do", "What it did", "p over all attacks", *names)
    return {
        "table": Table("What each control must show, and what it showed", head, tuple(rows), text=3, wide=1),
        "unexpected": unexpected_controls(source),
    }


def _attacks(source: Source) -> tuple[str, ...]:
    """The attacks that some control has a figure of, the one that sees no model last."""
    names = (*(attack.id for attack in source.beside), *([source.blind] if source.blind else []))
    return tuple(
        name
        for name in names
        if any(source.metric("mia.auc", control.id, name) is not None for control in source.controls)
    )
