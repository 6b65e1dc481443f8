"""What was asked for and what came of it."""

from collections.abc import Sequence

from prime_audit.report.source import Source
from prime_audit.results import Gap

_MOST_SKIPPED = 8


def view(source: Source) -> dict[str, object]:
    """Count the requested parts by what became of them and name the gaps.

    Args:
        source: The run.

    Returns:
        What the template shows.
    """
    coverage = source.results.coverage
    scored = [
        metric.n for metric in source.results.metrics if metric.n is not None and metric.id == "mia.auc"
    ]
    failed = max((n.failed or 0 for n in scored), default=0)
    counts = source.counts
    skipped = _grouped("skipped", coverage.skipped)
    many = len(skipped) > _MOST_SKIPPED
    return {
        "tiles": (
            ("requested", len(coverage.requested), "plain"),
            ("run", counts["run"], "plain"),
            ("undefined", counts["undefined"], "warn" if counts["undefined"] else "plain"),
            ("failed", counts["failed"], "bad" if counts["failed"] else "plain"),
            ("skipped", counts["skipped"], "warn" if counts["skipped"] else "plain"),
            *(() if source.lists else (("targets reverted to the base", _reverted(source), "plain"),)),
            *(() if source.pool else (("records that could not be scored", failed, "plain"),)),
        ),
        "gaps": _grouped("failed", coverage.failed) + ([] if many else skipped),
        "folded": skipped if many else [],
        "partial": _grouped("run in part", coverage.partial),
        "parts": len(coverage.partial),
        "requested": coverage.requested,
    }


def _grouped(what: str, gaps: Sequence[Gap]) -> list[tuple[str, list[str], str]]:
    """What became of requested parts, the ids that share a reason, and the reason."""
    ids: dict[str, list[str]] = {}
    for gap in gaps:
        ids.setdefault(gap.reason, []).append(gap.id)
    return [(what, names, reason) for reason, names in ids.items()]


def _reverted(source: Source) -> int:
    return sum(len(entry.targets) for entry in source.results.coverage.reverted)
