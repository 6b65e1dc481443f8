"""Scores of members and non-members under the primary attack."""

from collections import Counter

from prime_audit.report.figures import distributions
from prime_audit.report.parts import Figure, Table
from prime_audit.report.source import Source
from prime_audit.report.words import labelled


def view(source: Source) -> dict[str, object] | None:
    """Draw the histograms of the primary attack; the others stay in results.json.

    Args:
        source: The run.

    Returns:
        What the template shows; None where the run holds none.
    """
    entries = [entry for entry in source.results.distributions if entry.attack == source.primary]
    if not entries:
        return None
    title = f"Scores of the attack {source.primary}"
    description = (
        "One panel per method. Filled: records held out from training; outline: records trained on. The "
        "further the "
        "outline lies to the right of the filled shape, the more the module gives away. The table below "
        "holds the counts."
    )
    name = "scores"
    count = Counter(entry.method for entry in entries)
    labels = [labelled(entry.method, entry.subject, count[entry.method] > 1) for entry in entries]
    rows = tuple(
        (
            label,
            f"{low:.3g} to {high:.3g}",
            str(entry.member[position]),
            str(entry.nonmember[position]),
        )
        for label, entry in zip(labels, entries, strict=True)
        for position, (low, high) in enumerate(zip(entry.edges[:-1], entry.edges[1:], strict=True))
    )
    table = Table(title, ("Method", "Score", "trained on", "held out"), rows, text=2)
    return {
        "figure": Figure(
            name, title, description, distributions(name, title, description, entries, labels), table
        )
    }
