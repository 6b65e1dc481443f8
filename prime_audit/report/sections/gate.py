"""The limits and whether they were kept."""

from prime_audit.report.comparison import limit_words
from prime_audit.report.source import Source
from prime_audit.report.words import DASH, interval, number, signed

_ICONS = {
    "pass": ("✔", "passed", "good"),
    "warn": ("!", "warning", "warn"),
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
            "about": ", ".join(
                part for part in (rule.method or "every method", rule.attack, rule.subset) if part
            ),
            "limit": limit_words(rule),
            "value": number(rule.value),
            "ci": interval(rule.ci),
            "baseline": number(rule.baseline),
            "change": signed(rule.delta) if rule.delta is not None else DASH,
            "detectable": number(rule.detectable),
            "verdict": _ICONS[rule.verdict],
            "reason": rule.reason,
        }
        for rule in gate.rules
    ]
    compared = any(rule.delta is not None for rule in gate.rules)
    return {
        "verdict": _ICONS[gate.verdict],
        "rows": rows,
        "compared": compared,
        "baseline": gate.baseline,
        "tests": sorted({rule.test for rule in gate.rules if rule.test}),
    }
