"""The attacks on what was brought, side by side: a run about lists has one model and many attacks."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, number
from prime_audit.results import Metric


def view(source: Source) -> dict[str, object] | None:
    """Prepare a row per attack and model.

    Args:
        source: The run.

    Returns:
        What the template shows; None for a study whose attacks all fit beside its methods, and where no
        record was attacked.
    """
    if source.pool:
        return None
    if not source.lists:
        if len(source.attacks) == len(source.beside):
            return None
        return {"table": matrix(source), "primary": source.primary, "blind": source.blind, "study": True}
    return {
        "table": attacks_table(source),
        "primary": source.primary,
        "blind": source.blind,
        "study": False,
    }


def matrix(source: Source) -> Table:
    """Make the table of a study: a row per attack, a column per method and control.

    Args:
        source: The run.

    Returns:
        The AUC over all pairs; a dash where an attack was not run, a question mark where it is undefined.
    """
    attacked = [
        method
        for method in (*source.shown, *source.controls)
        if any(source.metric("mia.auc", method.id, attack.id) for attack in source.attacks)
    ]
    rows = tuple(
        (
            attack.id,
            attack.threat_model,
            *(_short(source.metric("mia.auc", method.id, attack.id)) for method in attacked),
        )
        for attack in source.attacks
    )
    head = ("Attack", "Threat", *(method.id for method in attacked))
    return Table("AUC of every attack on every method and control", head, rows, text=2)


def _short(metric: Metric | None) -> str:
    """The figure alone: with every interval the table could not be read."""
    if metric is None:
        return DASH
    return "?" if metric.value is None else number(metric.value)


def attacks_table(source: Source) -> Table:
    """Make the table that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        A row per attack on the audited model, then those on the controls.
    """
    order = [*source.methods, *source.controls]
    attacks = [attack.id for attack in source.attacks] + ([source.blind] if source.blind else [])
    rows = tuple(
        _row(source, method.id, attack, auc)
        for method in order
        for attack in attacks
        if (auc := source.metric("mia.auc", method.id, attack)) is not None
    )
    controls = frozenset(method.id for method in source.controls)
    head = ("Attack", "On", "AUC", "above the texts alone", "AUC over all records", "TPR at 10 % FPR")
    caption = "Attacks (95 % intervals in brackets)"
    return Table(caption, (*head, "records", "TPR at 1 % FPR"), rows, text=2, badges=controls)


def _row(source: Source, method: str, attack: str, auc: Metric) -> tuple[str, ...]:
    count = DASH if auc.n is None or auc.n.scored is None else f"{auc.n.scored} of {auc.n.attempted}"
    return (
        attack,
        method,
        cell(auc),
        cell(source.metric("mia.auc_above_blind", method, attack), plus=True),
        cell(source.metric("mia.auc_pooled", method, attack)),
        cell(source.metric("mia.tpr_at_fpr_0.1", method, attack)),
        count,
        cell(source.metric("mia.tpr_at_fpr_0.01", method, attack)),
    )
