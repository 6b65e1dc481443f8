"""The published protocol (design `prime-paper`): records of merged sharers against those of other people.

Members are all records of the sharers that a target's merge is made of, non-members all records of the other
sharers. Nobody flipped a coin: the merged sharers are those who resemble the target, so that a model which
merely fits the target already tells them apart. Hence no leak is stated here; what an attack finds is set
against what the texts alone tell, and stands beside the base, which holds no sharer's module.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, Attack, missing, usable
from attacks.statistics import UserScores, same_ranks
from prime_audit.audit.audit import AuditTables, Subjects
from prime_audit.audit.lists import ListedPanels, audit_lists
from prime_audit.audit.panel import Panel, Scored
from prime_audit.audit.verdict import Key
from prime_audit.core import Seeds

Selected = Mapping[str, Sequence[str]]


def audit_paper(
    group: Subjects,
    selected: Selected,
    attack_ids: Sequence[str],
    seen: Panel | None,
    primary: str,
    seeds: Seeds,
) -> AuditTables:
    """Attacks every method as the published protocol does.

    Args:
        group: Evidence about the sharers of the pool, an entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack_ids: The attacks that the study names.
        seen: The blind control on the same records, its users being the targets; None without one.
        primary: The attack that was named beforehand.
        seeds: Seeds of the study.

    Returns:
        Metrics, curves, distributions, and findings that speak of a difference.
    """
    lacking: dict[Key, tuple[str, ...]] = {}
    panels: list[dict[Key, Panel]] = []
    for section in (group.methods, group.alarms):
        found: dict[Key, Panel] = {}
        for method, scored in section.items():
            for name in attack_ids:
                attack = ATTACKS[name]
                kept = [entry for entry in scored if not missing(attack, entry.evidence)]
                if kept:
                    found[method, name] = paper_panel(kept, selected, attack)
                else:
                    parts = {part for entry in scored for part in missing(attack, entry.evidence)}
                    lacking[method, name] = tuple(sorted(parts))
        panels.append(found)
    listed = ListedPanels(methods=panels[0], alarms=panels[1], seen=seen)
    why = "there is no blind control to set it against"
    tables = audit_lists(listed, primary, randomised=False, seeds=seeds, draws=0, why=why)
    tables.lacking |= lacking
    return tables


def paper_panel(scored: Sequence[Scored], selected: Selected, attack: Attack) -> Panel:
    """Scores the pool's records under each target's merge.

    Args:
        scored: An entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack: The attack.

    Returns:
        The panel; its users are the targets, and the records of one target are those of the whole pool.
        Each of them is counted as often as there are targets.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    flags: dict[str, list[NDArray[np.bool_]]] = {}
    attempted = kept = 0
    alike = []
    for entry in scored:
        mask = usable(attack, entry.evidence)
        evidence = entry.evidence.take(np.flatnonzero(mask))
        scores = attack.score(evidence)
        attempted, kept = attempted + len(mask), kept + len(scores)
        rows.setdefault(entry.target, []).append(scores)
        (sharer,) = entry.subjects
        inside = sharer in selected[entry.target]
        flags.setdefault(entry.target, []).append(np.full(len(scores), inside))
        if attack.id != "loss" and len(scores) > 1:
            alike.append(same_ranks(scores, ATTACKS["loss"].score(evidence)))
    users = tuple(
        UserScores(target, np.concatenate(flags[target]), np.concatenate(parts)[None])
        for target, parts in rows.items()
    )
    copies = bool(alike) and float(np.mean(alike)) >= 0.99
    return Panel(users, attempted, kept, oriented=False, copies_loss=copies)
