"""The attacks on what was brought, side by side: a run about lists has one model and many attacks."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, TIMES, cell, labelled, number
from prime_audit.results import Metric

DAGGER: Final = "\u2020"
_NUMBER: Final = re.compile(r"\d+")


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
        return {
            "table": matrix(source),
            "primary": source.primary,
            "blind": source.blind,
            "study": True,
            "undefined": undefined(source),
            "parts": parts(source),
        }
    return {
        "table": attacks_table(source),
        "primary": source.primary,
        "blind": source.blind,
        "study": False,
        "undefined": (),
        "parts": (),
    }


def matrix(source: Source) -> Table:
    """Make the table of a study: a row per attack, a column per method and control.

    Args:
        source: The run.

    Returns:
        The AUC over all pairs; a dash where an attack was not run, a question mark where it is undefined, and
        a dagger behind a figure over fewer people or models than others of its column.
    """
    competing = {method.id for method in source.methods}
    attacked = [
        (method.id, subject)
        for method in (*source.shown, *source.controls)
        # A control's figures are about the first of those that it stands beside.
        for subject in source.subjects.get(method.id, ())[: None if method.id in competing else 1]
    ]
    count = Counter(method for method, _ in attacked)
    rows = tuple(
        (
            attack.id,
            attack.threat_model,
            *(
                _short(source, source.metric("mia.auc", method, attack.id, subject=subject))
                for method, subject in attacked
            ),
        )
        for attack in source.attacks
    )
    named = (labelled(method, subject, count[method] > 1) for method, subject in attacked)
    head = ("Attack", "Threat", *named)
    return Table("AUC of every attack on every method and control", head, rows, text=2)


def _short(source: Source, metric: Metric | None) -> str:
    """The figure alone: with every interval the table could not be read."""
    if metric is None:
        return DASH
    if metric.value is None:
        return "?"
    return number(metric.value) + (DAGGER if source.share(metric) or source.in_part(metric) else "")


def undefined(source: Source) -> tuple[tuple[str, str], ...]:
    """Say why figures of the table are undefined, one line for each kind of reason.

    Args:
        source: The run.

    Returns:
        Attacks and methods, and the reason; numbers that differ between them are given as a range.
    """
    groups: dict[tuple[str, str], list[Metric]] = {}
    for metric in source.undefined:
        groups.setdefault((metric.attack or "", _NUMBER.sub("#", metric.reason)), []).append(metric)
    return tuple((_crossed(found), _ranged([metric.reason for metric in found])) for found in groups.values())


def parts(source: Source) -> tuple[tuple[str, str], ...]:
    """Say which figures of the table are over fewer people or models than others of their column.

    Args:
        source: The run.

    Returns:
        Attacks and methods, and over how many people or models of how many; one line for each reason.
    """
    groups: dict[str, list[Metric]] = {}
    for attack in source.attacks:
        for method, subjects in source.subjects.items():
            for metric in (source.metric("mia.auc", method, attack.id, subject=one) for one in subjects):
                if metric is not None and metric.value is not None and (why := _fewer(source, metric)):
                    groups.setdefault(why, []).append(metric)
    return tuple((_crossed(found), why) for why, found in groups.items())


def _fewer(source: Source, metric: Metric) -> str:
    share = source.share(metric)
    if share is not None:
        return f"over {share[0]} of the {share[1]} people of the other figures"
    return source.in_part(metric)


def _crossed(found: Sequence[Metric]) -> str:
    """The attacks and the methods that some figures are about."""
    attacks = dict.fromkeys(metric.attack or "" for metric in found)
    methods = dict.fromkeys(metric.method or "" for metric in found)
    return f"{', '.join(attacks)} {TIMES} {', '.join(methods)}"


def _ranged(reasons: Sequence[str]) -> str:
    """One text for texts that differ in their numbers alone."""
    columns = zip(*(map(int, _NUMBER.findall(reason)) for reason in reasons), strict=True)
    ranges = iter([f"{min(c)}" if min(c) == max(c) else f"{min(c)} to {max(c)}" for c in map(list, columns)])
    return _NUMBER.sub(lambda match: next(ranges), reasons[0])


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
