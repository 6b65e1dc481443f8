"""The published protocol (design `prime-paper`): records of merged sharers against those of other people.

Members are all records of the sharers that a target's merge is made of, non-members all records of the other
sharers. Nobody flipped a coin: the merged sharers are those who resemble the target, so that a model which
merely fits the target already tells them apart. Hence no leak is stated here; what an attack finds is set
against what the texts alone tell, and stands beside the base, which holds no sharer's module. The targets'
figures are about the same records of the same few sharers, so none of them has an interval.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, Attack, usable
from attacks.statistics import UserScores, same_ranks
from prime_audit.audit.audit import CONTROL_BLIND, AuditTables, Subjects, panels_of
from prime_audit.audit.lists import ListedPanels, audit_lists
from prime_audit.audit.panel import Panel, Scored
from prime_audit.audit.verdict import untested
from prime_audit.core import Seeds
from prime_audit.results import Gap

# Targets share the pool's records and often their sharers; a target is no independent draw of either.
SAME_RECORDS: Final = "no interval: every target's figure is about the same sharers' records"

Selected = Mapping[str, Sequence[str]]


def audit_paper(
    group: Subjects,
    selected: Selected,
    attack_ids: Sequence[str],
    seen: Panel | str | None,
    primary: str,
    seeds: Seeds,
) -> AuditTables:
    """Attacks every method as the published protocol does.

    Args:
        group: Evidence about the sharers of the pool, an entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack_ids: The attacks that the study names.
        seen: The blind control on the same records, its users being the targets; or why it could not be
            made; None where nobody asked for it.
        primary: The attack that was named beforehand.
        seeds: Seeds of the study.

    Returns:
        Metrics, curves, distributions, and findings that speak of a difference.
    """
    gathered = AuditTables()

    def build(scored: Sequence[Scored], attack: Attack) -> Panel:
        return paper_panel(scored, selected, attack)

    panels = [panels_of(gathered, section, attack_ids, build) for section in (group.methods, group.alarms)]
    blind = seen if isinstance(seen, Panel) else None
    listed = ListedPanels(methods=panels[0], alarms=panels[1], seen=blind)
    why = seen if isinstance(seen, str) else "there is no blind control to set it against"
    tables = audit_lists(listed, primary, randomised=False, seeds=seeds, draws=0, why=why)
    tables.lacking |= gathered.lacking
    tables.partial |= gathered.partial
    if isinstance(seen, str):
        tables.unmade.append(Gap(id=f"{CONTROL_BLIND}/{group.subject}", reason=seen))
    asked = [(group.subject, *key) for key in gathered.lacking if key[0] in group.methods]
    run = [(group.subject, *key) for key in panels[0]]
    tables.findings += untested((), run, asked)
    return tables


def paper_panel(scored: Sequence[Scored], selected: Selected, attack: Attack) -> Panel:
    """Scores the pool's records under each target's merge.

    Args:
        scored: An entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack: The attack.

    Returns:
        The panel; its users are the targets, and the records of one target are those of the whole pool.
        Each of them is counted once, and no interval is given.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    flags: dict[str, list[NDArray[np.bool_]]] = {}
    counted: dict[str, NDArray[np.bool_]] = {}
    alike = []
    for entry in scored:
        mask = usable(attack, entry.evidence)
        evidence = entry.evidence.take(np.flatnonzero(mask))
        scores = attack.score(evidence)
        rows.setdefault(entry.target, []).append(scores)
        (sharer,) = entry.subjects
        counted[sharer] = mask
        inside = sharer in selected[entry.target]
        flags.setdefault(entry.target, []).append(np.full(len(scores), inside))
        if attack.id != "loss" and len(scores) > 1:
            alike.append(same_ranks(scores, ATTACKS["loss"].score(evidence)))
    users = tuple(
        UserScores(target, np.concatenate(flags[target]), np.concatenate(parts)[None])
        for target, parts in rows.items()
    )
    copies = bool(alike) and float(np.mean(alike)) >= 0.99
    every = np.concatenate(list(counted.values()))
    return Panel(
        users,
        attempted=len(every),
        scored=int(every.sum()),
        oriented=False,
        copies_loss=copies,
        no_interval=SAME_RECORDS,
    )
