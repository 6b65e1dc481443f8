"""Which method serves the targets best, person by person, and what each costs."""

from collections.abc import Mapping, Sequence
from typing import Final

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, MINUS, cell, interval, number, p_value, signed
from prime_audit.results import CI, Metric

VERSUS: Final = ("versus", "versus_p", "versus_holm")
LEVEL: Final = 0.05
# Figures of a study in which each person counts once; see `prime_audit.study.costs`.
COSTS: Final = (
    ("settings", "settings tried"),
    ("training_tokens", "tokens trained on"),
    ("shared_training_tokens", "of sharers' modules"),
    ("search_tokens", "tokens to personalise"),
    ("answer_tokens", "tokens per query"),
    ("stored_bytes", "bytes kept"),
)
Pair = tuple[str, str]


def view(source: Source) -> dict[str, object] | None:
    """Prepare the order of the methods, the costs and the table of all pairs.

    Args:
        source: The run.

    Returns:
        What the template shows; None where fewer than two methods were compared.
    """
    pairs = _pairs(source, "utility.versus")
    if not pairs:
        return None
    return {
        "ranks": ranks_table(source),
        "pairs": _all_pairs(source, pairs),
        "count": len(pairs),
        "sentence": _sentence(source, pairs),
    }


def _pairs(source: Source, name: str) -> Mapping[Pair, Metric]:
    return {
        (metric.method or "", metric.reference or ""): metric
        for metric in source.results.metrics
        if metric.id == name
    }


def ranked(source: Source) -> list[str]:
    """Return the compared methods, the best mean rank first; ties in the order of the study."""
    found = [(m.id, source.metric("utility.rank", m.id)) for m in source.methods]
    known = {name: metric.value for name, metric in found if metric is not None and metric.value is not None}
    return sorted(known, key=lambda name: known[name])


def ranks_table(source: Source) -> Table:
    """Make the table of ranks, each method beside one that it is compared with.

    Args:
        source: The run.

    Returns:
        A row per method: mean rank, utility, its difference with an interval from the method that ranks first
        (from the base where only pairs with the base are tested), the corrected p-value of that difference,
        and what the method costs.
    """
    order, rows = ranked(source), []
    other = _compared_with(source, order)
    shown = [one for one in COSTS if source.metric(f"cost.{one[0]}", order[0]) is not None]
    for name in order:
        difference, adjusted = _against(source, name, other)
        rows.append(
            (
                name,
                cell(source.metric("utility.rank", name), 2),
                cell(source.metric("utility.primary", name)),
                difference,
                adjusted,
                *(cost_of(source, name, cost) for cost, _ in shown),
            )
        )
    head = ("Method", "mean rank", "Utility", f"against {other}", "p (Holm)", *(w for _, w in shown))
    caption = "Methods by mean rank over targets (1 is the best; 95 % intervals in brackets)"
    return Table(caption, head, tuple(rows))


def _compared_with(source: Source, order: Sequence[str]) -> str:
    """The first method, if its pairs are tested or none is; else the one that all tested ones share."""
    corrected = _pairs(source, "utility.versus_holm")
    tested = [set(pair) for pair, p in corrected.items() if p.value is not None]
    if not tested or all(p.value is not None for pair, p in corrected.items() if order[0] in pair):
        return order[0]
    common = set.intersection(*tested)
    return next((name for name in order if name in common), order[0])


def _against(source: Source, name: str, other: str) -> tuple[str, str]:
    """A method's difference from another one, and its corrected p-value."""
    if name == other:
        return DASH, DASH
    versus, corrected = (_pairs(source, f"utility.{one}") for one in ("versus", "versus_holm"))
    turned = (name, other) not in versus
    pair = (other, name) if turned else (name, other)
    found, p = versus[pair], corrected[pair]
    if found.value is None:
        return cell(found), cell(p)
    value = -found.value if turned else found.value
    text = signed(value)
    if found.ci is not None:
        low, high = found.ci.low, found.ci.high
        ends = (-high, -low) if turned else (low, high)
        limits = CI(low=ends[0], high=ends[1], level=found.ci.level, how=found.ci.how)
        text += f"\n({interval(limits)})"
    return text, p_value(p.value) if p.value is not None else cell(p)


def cost_of(source: Source, method: str, cost: str) -> str:
    """Write one of `COSTS`, on average over targets.

    Args:
        source: The run.
        method: The method's id.
        cost: The cost's name.

    Returns:
        The text; a dash where the run holds none.
    """
    metric = source.metric(f"cost.{cost}", method)
    if metric is None or metric.value is None:
        return DASH
    return (
        f"{metric.value:,.0f}" if metric.value >= 10 or metric.value.is_integer() else number(metric.value, 1)
    )


def _all_pairs(source: Source, pairs: Mapping[Pair, Metric]) -> Table:
    raw, corrected = (_pairs(source, f"utility.{name}") for name in VERSUS[1:])
    order = sorted(pairs, key=lambda pair: -abs(pairs[pair].value or 0.0))
    rows = tuple(
        (
            f"{one} {MINUS} {other}",
            cell(pairs[one, other], plus=True),
            *(
                cell(p) if p.value is None else p_value(p.value)
                for p in (raw[one, other], corrected[one, other])
            ),
        )
        for one, other in order
    )
    return Table("Every pair of methods", ("Pair", "difference", "p", "p (Holm)"), rows)


def _sentence(source: Source, pairs: Mapping[Pair, Metric]) -> str:
    corrected = _pairs(source, "utility.versus_holm")
    known = [metric.value for metric in corrected.values() if metric.value is not None]
    if not known:
        reason = next(iter(corrected.values())).reason
        return f"No pair could be tested: {reason}."
    apart = sum(value <= LEVEL for value in known)
    found = f"{apart} of {len(known)} pairs differ at the 5 % level, corrected for all of them."
    if len(known) == len(corrected):
        return found
    first = next(metric for metric in corrected.values() if metric.value is not None)
    why = next(metric.reason for metric in corrected.values() if metric.value is None)
    return f"{found} They are the {first.reason}: {why.removeprefix('undefined: ')}."
