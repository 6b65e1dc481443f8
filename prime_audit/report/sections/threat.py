"""Who is assumed to attack, what was compared, and what these figures cannot say."""

from prime_audit.report.parts import Table
from prime_audit.report.source import Source
from prime_audit.report.words import WHO

_ADVERSARIES = {
    "A0": "whoever merges the modules and so holds each sharer's own module",
    "A1": "whoever holds the adapter file, as every target does",
    "A2": "whoever can query the deployed model and reads the probability of each token",
    "A3": "whoever can query the deployed model and reads only its text",
    "A4": "a sharer who knows their own module",
    "A5": "several targets together, or one who keeps successive releases",
}
_DESIGNS = {
    "holdout": (
        "Before anything was trained, a fair coin was flipped for every record. Heads: the record was used "
        "(a member). "
        "Tails: it was held out and appears nowhere else: not in profiles, retrieval, selection or "
        "adaptation.",
        "So the audited modules were made from about half of each history. Modules made from whole "
        "histories are other "
        "modules: both their utility and their leakage can differ.",
        "Members are compared only with held-out records of the same person, so that a difference between "
        "people cannot "
        "look like a leak.",
    ),
}
_LIMITS = (
    "“None detected” means that no attack that was run saw more than chance. It does not mean that the "
    "modules are "
    "private: a stronger attack, more records or another adversary may find more.",
    "The interval “these modules” speaks about the modules that were audited. Only the interval “sharers in "
    "general” "
    "speaks about other people, and it needs at least 6 sharers.",
    "One run trains each module once: another training seed gives other modules.",
    "Whether a record was used is the question asked here. Whether its text can be extracted is another one.",
)


def view(source: Source) -> dict[str, object]:
    """Prepare the assumptions in plain words and the list of attacks.

    Args:
        source: The run.

    Returns:
        What the template shows.
    """
    metrics = source.results.metrics
    adversaries = sorted({metric.adversary for metric in metrics if metric.adversary})
    subjects = sorted({metric.subject for metric in metrics if metric.subject})
    design = source.results.study.design
    rows = tuple(
        (attack.id, attack.threat_model, ", ".join(attack.needs), attack.source, str(attack.version))
        for attack in source.attacks
    )
    return {
        "adversaries": [(name, _ADVERSARIES.get(name, "not described here")) for name in adversaries],
        "subjects": [WHO[subject] for subject in subjects],
        "design": design,
        "design_words": _DESIGNS.get(design, ("This report has no description of this design.",)),
        "limits": _LIMITS,
        "attacks": Table("Attacks", ("Attack", "Threat model", "Needs", "Source", "Version"), rows, text=4),
    }
