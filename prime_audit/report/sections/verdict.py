"""What was found, first and in words."""

from prime_audit.core import plural
from prime_audit.report import words
from prime_audit.report.headline import headline
from prime_audit.report.sections import glance
from prime_audit.report.source import Source
from prime_audit.results import Finding

_TONES = {"leak": "bad", "none detected": "plain"}
_ORDER = ("leak", "difference", "inconclusive", "none detected")


def view(source: Source) -> dict[str, object]:
    """Prepare the headline, the findings with the strongest first, and the methods nothing was asked about.

    Args:
        source: The run.

    Returns:
        What the template shows.
    """
    findings = sorted(
        source.findings, key=lambda entry: (_ORDER.index(entry.verdict), -words.largest_auc(source, entry))
    )
    audited = {finding.method for finding in findings}
    at_a_glance = glance.rows(source)
    return {
        "headline": headline(source),
        "leads": [] if source.broken else glance.leads(at_a_glance),
        "glance": [
            {"row": row, "badge": _badge(row.finding), "secrets": row.secrets and _badge(row.secrets)}
            for row in at_a_glance
        ],
        "planted": any(row.secrets for row in at_a_glance),
        "attacks": len(source.attacks),
        "primary": source.primary,
        "findings": [_card(source, finding) for finding in findings],
        "lists": source.lists,
        "pool": source.pool,
        "unaudited": [m for m in source.methods if m.id not in audited and not source.pool],
    }


def _badge(finding: Finding) -> dict[str, str]:
    icon, text = words.FINDING_WORDS[finding.verdict]
    return {"icon": icon, "words": text, "tone": _TONES.get(finding.verdict, "warn")}


def _card(source: Source, finding: Finding) -> dict[str, object]:
    return {
        **_badge(finding),
        "method": finding.method,
        "label": source.label[finding.method],
        "topic": "planted secrets" if finding.attack in source.planted else "records",
        "who": words.WHO[finding.subject],
        "sentence": words.finding_sentence(source, finding),
        "notes": _notes(source, finding),
    }


def _notes(source: Source, finding: Finding) -> list[str]:
    notes: list[str] = []
    if finding.attack in source.planted:
        return notes
    attack = finding.attack or source.primary
    worst = source.metric("mia.auc_worst", finding.method, attack, subject=finding.subject)
    several = worst is not None and (worst.n is None or worst.n.users != 1)
    if worst is not None and worst.value is not None and several:
        wider = ", a wider one since the worst person was picked" if worst.ci else ""
        notes.append(f"The most exposed person, by the attack {attack}: AUC {words.cell(worst)}{wider}.")
    back = source.reverted(finding.method)
    if back:
        merged = source.metric("mia.auc", finding.method, attack, merged=True, subject=finding.subject)
        alone = (
            f"; over the other targets alone the AUC of the attack {attack} is {words.cell(merged)}"
            if merged is not None
            else ""
        )
        notes.append(
            f"{plural(back, 'target')} fell back to the base, where there is nothing to find{alone}."
        )
    # The sentence of the other verdicts says their reason already.
    told = ("difference", "none detected") if source.observed else ("difference",)
    if finding.reason and finding.verdict in told:
        notes.append(f"{finding.reason[:1].upper()}{finding.reason[1:]}.")
    return notes
