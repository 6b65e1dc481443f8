"""Every method side by side."""

from collections.abc import Mapping

from prime_audit.report.parts import Table
from prime_audit.report.sections.ranking import COSTS, VERSUS, cost_of
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, cell, family, number, over
from prime_audit.results import Method, Subject

_NOT_RAW = frozenset(f"utility.{name}" for name in (*("primary", "delta", "rank"), *VERSUS))


def view(source: Source) -> dict[str, object] | None:
    """Prepare the table of methods and the raw utility metrics.

    Args:
        source: The run.

    Returns:
        What the template shows; None for a run about lists, which has one model and many attacks.
    """
    if source.lists:
        return None
    return {
        "table": methods_table(source),
        "costs": _costs(source),
        "effort": effort(source),
        "raw": _raw(source),
        "primary": source.primary,
        "more": len(source.attacks) - len(source.beside),
    }


def methods_table(source: Source) -> Table:
    """Make the table that HTML and Markdown both show.

    Args:
        source: The run.

    Returns:
        A row per method: utility and its difference from the base, leakage per attack, and what was deployed.
        Controls that were deployed follow the method they belong to.
    """
    attacks = tuple(attack.id for attack in source.beside)
    # Beside the primary one, where the table leaves some attack out.
    most = ("largest AUC",) if len(source.attacks) > len(attacks) else ()
    columns = [f"AUC {attack}" for attack in attacks]
    figures = (*columns[:1], *most, *columns[1:])
    tail = ("TPR at 10 % FPR", "worst person", "mean norm ratio", "reverted targets")
    head = ("Method", "Family", "Utility", "against base", *figures, *tail)
    rows = tuple(_row(source, method, attacks) for method in source.shown)
    caption = "Methods: utility, leakage and what was deployed (95 % intervals in brackets)"
    badges = frozenset(family(method) for method in source.shown if method.family == "control")
    return Table(caption, head, rows, text=2, badges=badges)


def _row(source: Source, method: Method, attacks: tuple[str, ...]) -> tuple[str, ...]:
    name, primary = method.id, source.primary
    return (
        name,
        family(method),
        cell(source.metric("utility.primary", name)),
        cell(source.metric("utility.delta", name), plus=True),
        *(_leak(source, name, attack) for attack in attacks[:1]),
        *((_largest(source, name),) if len(source.attacks) > len(attacks) else ()),
        *(_leak(source, name, attack) for attack in attacks[1:]),
        cell(source.metric("mia.tpr_at_fpr_0.1", name, primary)),
        cell(source.metric("mia.auc_worst", name, primary)),
        _norm(source, name),
        str(source.reverted(name)) if name in source.searches or method.family == "merging" else DASH,
    )


def _norm(source: Source, method: str) -> str:
    """The mean over all targets, where the base counts 0; and over the merged ones, where some fell back."""
    merged = [
        entry.norm_ratio
        for entry in source.searches.get(method, ())
        if not entry.reverted and entry.norm_ratio is not None
    ]
    text = cell(source.metric("norm.ratio", method), 2)
    alone = number(sum(merged) / len(merged), 2) if merged else DASH
    if text == DASH or not source.reverted(method):
        return alone if text == DASH else text
    return f"{text}\nmerged only: {alone}"


def _largest(source: Source, method: str) -> str:
    """The largest AUC of all attacks, also of those that have no column."""
    metric = source.largest(method)
    return DASH if metric is None else f"{number(metric.value)}\n{metric.attack}{over(source, metric)}"


def _leak(source: Source, method: str, attack: str) -> str:
    """The figure, per subject where there are several, and over merged targets where some fell back."""
    subjects = source.subjects.get(method, (None,))
    if len(subjects) < 2:
        return _figure(source, method, attack, None)
    return "\n".join(
        f"{subject}s: {' '.join(_figure(source, method, attack, subject).split())}" for subject in subjects
    )


def _figure(source: Source, method: str, attack: str, subject: Subject | None) -> str:
    metric = source.metric("mia.auc", method, attack, subject=subject)
    text = cell(metric) + over(source, metric)
    merged = source.metric("mia.auc", method, attack, merged=True, subject=subject)
    return text if merged is None else f"{text}\nmerged only: {cell(merged)}"


def _costs(source: Source) -> Table | None:
    names = [m.id for m in source.shown if source.metric("cost.settings", m.id) is not None]
    if not names:
        return None
    rows = tuple(
        (name, *(cost_of(source, name, cost) for cost, _ in COSTS), _seconds(source, name)) for name in names
    )
    caption = "Costs per target, on average; seconds as they were on the machine of this run"
    return Table(caption, ("Method", *(words for _, words in COSTS), "seconds"), rows)


def effort(source: Source) -> str:
    """Say whether the methods that tune something compared equally many settings, as a fair comparison asks.

    Args:
        source: The run.

    Returns:
        One sentence; empty where the run states no costs.
    """
    found = [(source.metric("cost.settings", method.id), method.id) for method in source.shown]
    known = [
        (metric.value, name) for metric, name in found if metric is not None and metric.value is not None
    ]
    if not known:
        return ""
    tuned = sorted(pair for pair in known if pair[0])
    if not tuned:
        return "Here no method tunes anything, so all had the same effort: none."
    (least, fewest), (most, name) = tuned[0], tuned[-1]
    if len(tuned) == 1:
        return f"Here {name} alone tunes ({_count(most)}); the others take their settings as given."
    if least == most:
        return f"Here each of the {len(tuned)} methods that tune compared {_count(most)}."
    return (
        f"Here the efforts of the {len(tuned)} methods that tune differ, from {_count(least)} ({fewest}) to "
        f"{_count(most)} ({name}): read a gain of the latter with that in mind, or give both the same budget."
    )


def _count(settings: float) -> str:
    text = number(settings, 0 if settings.is_integer() else 1)
    return f"{text} setting{'' if settings == 1 else 's'}"


def _seconds(source: Source, method: str) -> str:
    known = source.manifest.get("seconds_by_method")
    value = known.get(method) if isinstance(known, Mapping) else None
    return number(float(value), 1) if isinstance(value, int | float) else DASH


def _raw(source: Source) -> Table | None:
    names = {metric.id for metric in source.results.metrics if metric.id.startswith("utility.")}
    shown = tuple(sorted(names - _NOT_RAW))
    if not shown:
        return None
    rows = tuple((m.id, *(cell(source.metric(name, m.id)) for name in shown)) for m in source.shown)
    return Table(
        "Utility in its own units", ("Method", *(name.removeprefix("utility.") for name in shown)), rows
    )
