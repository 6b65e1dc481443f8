"""What a kind of unit was asked for and not run on, counted for the coverage."""

from collections.abc import Sequence

from prime_audit.results import Gap
from prime_audit.study.units import Output


def gap_of(
    name: str, found: Sequence[Output], what: str = "models", asked: int | None = None, note: str = ""
) -> tuple[Gap, int]:
    """Says how many of the units that were asked for did their work, and why the others did not.

    Args:
        name: What the coverage calls it.
        found: Outputs of the units; one that did nothing says why under ``skipped``.
        what: What a unit is about, in the plural.
        asked: How many were asked for, where not all were planned.
        note: What else is to be said.

    Returns:
        A gap, whose reason is empty where nothing was left out, and how many units did their work.
    """
    reasons = dict.fromkeys(str(output["skipped"]) for output in found if "skipped" in output)
    some, of = sum("skipped" not in output for output in found), asked or len(found)
    counted = f"run on {some} of {of} {what}" if some < of else ""
    return Gap(id=name, reason="; ".join(filter(None, [counted, *reasons, note]))), some
