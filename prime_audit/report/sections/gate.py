"""The limits and whether they were kept."""

from prime_audit.report.source import Source
from prime_audit.report.words import DASH, interval, number

_ICONS = {
    "pass": ("✔", "passed", "good"),
    "fail": ("✖", "failed", "bad"),
    "error": ("!", "not judged", "warn"),
}


def view(source: Source) -> dict[str, object] | None:
    """Prepare a row per limit.

    Args:
        source: The run.

    Returns:
        What the template shows; None where no rules were judged.
    """
    gate = source.gate
    if gate is None or not gate.rules:
        return None
    rows = [
        {
            "metric": rule.metric,
            "method": rule.method or "every method",
            "attack": rule.attack or DASH,
            "subset": rule.subset,
            "limit": f"{'at most' if rule.side == 'max' else 'at least'} {number(rule.limit)}",
            "value": number(rule.value),
            "ci": interval(rule.ci),
            "verdict": _ICONS[rule.verdict],
            "reason": rule.reason,
        }
        for rule in gate.rules
    ]
    return {"verdict": _ICONS[gate.verdict], "rows": rows}
