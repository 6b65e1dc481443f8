"""PriME's premise, put to the test: does a merge that resembles the sharers less leak less about them?"""

from collections.abc import Mapping, Sequence

from prime_audit.core import plural
from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import cell, interval, signed
from prime_audit.results import Metric

_NAME = "premise.rank_correlation"
_ALONE = "none"


def view(source: Source) -> dict[str, object] | None:
    """Prepare the rank correlations of the privacy term with leakage over all evaluated candidates.

    Args:
        source: The run.

    Returns:
        What the template shows; None where the run holds none.
    """
    found = {
        (str(m.method), m.target, str((m.slice or {}).get("given", _ALONE))): m
        for m in source.results.metrics
        if m.id == _NAME
    }
    if not found:
        return None
    givens = sorted({given for _, _, given in found}, key=lambda given: (given != _ALONE, given))
    whole = list(dict.fromkeys(method for method, target, _ in found if target is None))
    pairs = sorted({(method, target) for method, target, _ in found if target is not None})
    overall = [((method, None), (method,)) for method in whole]
    single = [((method, target), (method, target)) for method, target in pairs]
    return {
        "sentences": [reading(method, found, givens) for method in whole],
        "table": _table(
            "Rank correlation of S with leakage, over all targets", ("Method",), overall, found, givens
        )
        if overall
        else None,
        "targets": _table("Rank correlation, target by target", ("Method", "Target"), single, found, givens)
        if single
        else None,
    }


_Found = Mapping[tuple[str, str | None, str], Metric]


def reading(method: str, found: _Found, givens: Sequence[str]) -> str:
    """Say in plain words what the correlations over all targets mean for one method.

    Args:
        method: The method's id.
        found: The metrics by method, target and what is held fixed.
        givens: What is held fixed, in turn.

    Returns:
        One or two sentences.
    """
    first = next((metric for (name, _, _), metric in found.items() if name == method), None)
    count = first.n.scored if first is not None and first.n is not None else None
    said = [f"{plural(count, 'evaluated candidate')} of {method} attacked."] if count else []
    for given in givens:
        metric = found.get((method, None, given))
        if metric is not None:
            lead = f"{method}: " if given == _ALONE else f"With {given} held fixed: "
            said.append(f"{lead}{_answer(metric)}.")
    return " ".join(said)


def _answer(metric: Metric) -> str:
    if metric.value is None:
        return f"not measured ({' '.join(metric.reason.split())})"
    if metric.ci is None:
        return f"rank correlation {signed(metric.value, 2)}, without an interval, so nothing can be said"
    figures = f"rank correlation {signed(metric.value, 2)}, {interval(metric.ci, 2)}"
    if metric.ci.low > 0:
        return f"yes, candidates with a lower S leak less ({figures})"
    if metric.ci.high < 0:
        return f"no, candidates with a lower S leak more ({figures})"
    return f"it cannot be told ({figures})"


def _table(
    caption: str,
    names: tuple[str, ...],
    rows: Sequence[tuple[tuple[str, str | None], tuple[str, ...]]],
    found: _Found,
    givens: Sequence[str],
) -> Table:
    head = ["as it is" if given == _ALONE else f"{given} held fixed" for given in givens]
    cells = tuple(
        (*lead, *(cell(found.get((*key, given)), 2, plus=True) for given in givens)) for key, lead in rows
    )
    return Table(caption, (*names, *head), cells, text=len(names))
