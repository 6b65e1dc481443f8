"""ROC curves, one figure per attack."""

from collections import Counter

from prime_audit.report.figures import roc
from prime_audit.report.parts import Figure, Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, labelled, number
from prime_audit.results import Curve

_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
_MOST = 8
_MOST_ATTACKS = 4


def view(source: Source) -> dict[str, object] | None:
    """Draw the curves of each attack, the primary one first.

    Args:
        source: The run.

    Returns:
        What the template shows; None where the run holds no curve.
    """
    figures = []
    drawn = strongest(source)
    for attack in source.attacks:
        if attack.id not in drawn:
            continue
        curves = [curve for curve in source.results.curves if curve.attack == attack.id]
        if curves:
            # What the texts alone show stands beside every attack.
            seen = [curve for curve in source.results.curves if curve.attack == source.blind]
            figures.append(_figure(source, attack.id, [*curves, *seen]))
    return {"figures": figures} if figures else None


def strongest(source: Source) -> tuple[str, ...]:
    """Name the attacks whose curves are drawn: the primary one, and those that find most on some method.

    Args:
        source: The run.

    Returns:
        Ids of at most four attacks.
    """
    found = {}
    for attack in source.attacks:
        metrics = [
            source.metric("mia.auc", method.id, attack.id, subject=subject)
            for method in source.methods
            for subject in source.subjects.get(method.id, ())
        ]
        known = [m.value for m in metrics if m is not None and m.value is not None]
        found[attack.id] = max(known, default=-1.0)
    ranked = sorted(found, key=lambda name: (name != source.primary, -found[name]))
    return tuple(ranked[:_MOST_ATTACKS])


def _figure(source: Source, attack: str, curves: list[Curve]) -> Figure:
    ranked = sorted(curves, key=lambda curve: -_auc(source, curve))
    # Strongest first decides who is drawn; the study's order decides colours, so that they stay from
    # figure to figure. A control may have a curve for each kind of subject.
    order = list(dict.fromkeys((curve.method, curve.subject) for curve in source.results.curves))
    labels = _labels(ranked)
    shown = {
        order.index((curve.method, curve.subject)): (label, curve)
        for label, curve in zip(labels[:_MOST], ranked[:_MOST], strict=True)
    }
    title = f"ROC curves of the attack {attack}"
    left = f" The {len(shown)} strongest of {len(curves)} are drawn." if len(shown) < len(curves) else ""
    description = (
        "Both axes are logarithmic. The dashed line is guessing; a curve above it finds trained-on records. "
        f"The shaded region rests on too few records to be read.{left} The table below holds the rates."
    )
    name = f"roc-{attack.replace('+', 'p').replace('.', '-')}"
    drawn = roc(name, title, description, shown)
    return Figure(name, title, description, drawn, _table(source, title, ranked))


def _labels(curves: list[Curve]) -> list[str]:
    """The curves' methods, with the subject where a method has more than one curve."""
    count = Counter(curve.method for curve in curves)
    return [labelled(curve.method, curve.subject, count[curve.method] > 1) for curve in curves]


def _auc(source: Source, curve: Curve) -> float:
    metric = source.metric("mia.auc", curve.method, curve.attack, subject=curve.subject)
    return metric.value if metric is not None and metric.value is not None else 0.0


def _table(source: Source, title: str, curves: list[Curve]) -> Table:
    rows = tuple(
        (label, *(_rate(source, curve, rate) for rate in _RATES))
        for label, curve in zip(_labels(curves), curves, strict=True)
    )
    head = ("Method", *(f"TPR at {100 * rate:g} % FPR" for rate in _RATES))
    return Table(f"{title}: true positive rates", head, rows)


def _rate(source: Source, curve: Curve, rate: float) -> str:
    """The highest true positive rate up to a false positive rate; a dash where it cannot be resolved."""
    known = source.rate(f"mia.tpr_at_fpr_{rate}", curve)
    if known is not None:
        # The curve is thinned for drawing: where the run holds the rate itself, that is shown.
        return number(known.value)
    if curve.resolvable_from is not None and rate < curve.resolvable_from:
        return DASH
    return number(
        max((tpr for fpr, tpr in zip(curve.fpr, curve.tpr, strict=True) if fpr <= rate), default=None)
    )
