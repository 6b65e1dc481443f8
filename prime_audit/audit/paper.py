"""The published protocol (design `prime-paper`): records of merged sharers against those of other people.

Members are all records of the sharers that a target's merge is made of, non-members all records of the other
sharers. Nobody flipped a coin: the merged sharers are those who resemble the target, so that a model which
merely fits the target already tells them apart. Hence no leak is stated here; what an attack finds is set
against what the texts alone tell, and against the base that holds no sharer's module.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, Attack, missing, usable
from attacks.statistics import UserScores, same_ranks
from prime_audit.audit.audit import AuditTables, Subjects
from prime_audit.audit.blind import BLIND
from prime_audit.audit.lists import observed_findings
from prime_audit.audit.membership import Audited, curve, distribution, membership_metrics
from prime_audit.audit.panel import Panel, Scored

Selected = Mapping[str, Sequence[str]]


def audit_paper(
    group: Subjects,
    selected: Selected,
    attack_ids: Sequence[str],
    blind: Callable[[str, Sequence[str]], NDArray[np.float64] | None],
    primary: str,
) -> AuditTables:
    """Attacks every method as the published protocol does.

    Args:
        group: Evidence about the sharers of the pool, an entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack_ids: The attacks that the study names.
        blind: From a target and the pool, in the order of the evidence, to scores that see the texts alone.
        primary: The attack that was named beforehand.

    Returns:
        Metrics, curves, distributions, and findings that speak of a difference.
    """
    tables = AuditTables()
    panels: dict[tuple[str, str], Panel] = {}
    for method, scored in (*group.methods.items(), *group.alarms.items()):
        for name in attack_ids:
            attack = ATTACKS[name]
            kept = [entry for entry in scored if not missing(attack, entry.evidence)]
            if not kept:
                lacking = {part for entry in scored for part in missing(attack, entry.evidence)}
                tables.lacking[method, name] = tuple(sorted(lacking))
                continue
            panels[method, name] = paper_panel(kept, selected, attack)
    if (seen := _blind_panel(group, selected, blind)) is not None:
        panels["control-blind", BLIND.id] = seen
    for (method, name), panel in panels.items():
        audited = Audited(method, BLIND if name == BLIND.id else ATTACKS[name], group.subject)
        tables.run.append((method, name))
        tables.metrics += membership_metrics(audited, panel, per_user=name == primary)
        tables.curves += [found for found in [curve(audited, panel)] if found]
        tables.distributions += [found for found in [distribution(audited, panel)] if found]
    tables.findings += observed_findings(panels, group.subject, primary, seen)
    return tables


def paper_panel(scored: Sequence[Scored], selected: Selected, attack: Attack) -> Panel:
    """Scores the pool's records under each target's merge.

    Args:
        scored: An entry per target and sharer.
        selected: By target the sharers that its merge is made of.
        attack: The attack.

    Returns:
        The panel; its users are the targets, and the records of one target are those of the whole pool.
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
        inside = all(user in selected[entry.target] for user in entry.subjects)
        flags.setdefault(entry.target, []).append(np.full(len(scores), inside))
        if attack.id != "loss" and len(scores) > 1:
            alike.append(same_ranks(scores, ATTACKS["loss"].score(evidence)))
    users = tuple(
        UserScores(target, np.concatenate(flags[target]), np.concatenate(parts)[None])
        for target, parts in rows.items()
    )
    copies = bool(alike) and float(np.mean(alike)) >= 0.99
    return Panel(users, attempted, kept, oriented=False, copies_loss=copies)
