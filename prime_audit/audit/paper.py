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

from attacks import ATTACKS, Attack
from attacks.statistics import UserScores
from prime_audit.audit.audit import CONTROL_BLIND, AuditTables, Subjects, attack_method
from prime_audit.audit.lists import ListedPanels, audit_lists
from prime_audit.audit.panel import Attacked, Panel, Scored, attack_subject, copies_loss
from prime_audit.audit.verdict import Key, untested
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
    panels: list[dict[Key, Panel]] = []
    for section in (group.methods, group.alarms):
        panels.append({})
        for method, scored in section.items():
            found = attack_method(gathered, method, scored, attack_ids, _unturned)
            panels[-1] |= {(method, name): paper_panel(rows, selected) for name, rows in found.items()}
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


def _unturned(entry: Scored, attack: Attack) -> list[Attacked]:
    """The scores as they are, whatever the sign of the weight: members are those with any weight at all."""
    (sharer,) = entry.subjects
    return [attack_subject(entry, sharer, entry.evidence, attack, ATTACKS["loss"])]


def paper_panel(rows: Sequence[Attacked], selected: Selected) -> Panel:
    """Puts what an attack says of the pool's records together by target.

    Args:
        rows: By target and sharer.
        selected: By target the sharers that its merge is made of.

    Returns:
        The panel; its users are the targets, and the records of one target are those of the whole pool.
        Each of them is counted once, and no interval is given.
    """
    scores: dict[str, list[NDArray[np.float64]]] = {}
    flags: dict[str, list[NDArray[np.bool_]]] = {}
    counted = {row.subject: row.usable for row in rows}
    for row in rows:
        scores.setdefault(row.target, []).append(row.scores)
        inside = row.subject in selected[row.target]
        flags.setdefault(row.target, []).append(np.full(len(row.scores), inside))
    users = tuple(
        UserScores(target, np.concatenate(flags[target]), np.concatenate(parts)[None])
        for target, parts in scores.items()
    )
    every = np.concatenate(list(counted.values()))
    return Panel(
        users,
        attempted=len(every),
        scored=int(every.sum()),
        oriented=False,
        copies_loss=copies_loss(rows),
        no_interval=SAME_RECORDS,
    )
