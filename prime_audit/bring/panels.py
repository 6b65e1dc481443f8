"""From listed records and what was measured about them to the panels that the audit reads."""

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, Attack, Evidence, missing
from attacks.statistics import UserScores
from prime_audit.audit import Scored
from prime_audit.audit.blind import blind_scores
from prime_audit.audit.lists import NO_TEXT
from prime_audit.audit.panel import Panel, build_panel
from prime_audit.audit.verdict import Key
from prime_audit.bring.listed import Listed
from prime_audit.core import Seeds

MODEL: Final = "model"
CONTROL_BASE: Final = "control-base"
ARRAYS: Final = frozenset(("logp", "mean_logp", "std_logp", "is_argmax", "token", "compressed_bytes"))


def score_panel(listed: Listed, scores: NDArray[np.float64]) -> Panel:
    """Groups a score per record by who is compared with whom.

    Args:
        listed: The records.
        scores: ``(N,)`` finite scores; higher = more like a member.

    Returns:
        The panel.
    """
    groups = np.array(listed.groups)
    users = tuple(
        UserScores(name, listed.member[groups == name], scores[groups == name][None])
        for name in sorted(listed.subjects)
    )
    return Panel(users, len(scores), len(scores), oriented=False, copies_loss=False)


def runnable(evidence: Evidence, held: Collection[str]) -> tuple[list[Attack], dict[str, tuple[str, ...]]]:
    """Sorts the attacks into those that can run on what was measured, and those that cannot.

    What an attack needs decides, never what the arrays happen to hold: arrays that nobody measured are there
    all the same.

    Args:
        evidence: The evidence.
        held: The parts of it that were measured.

    Returns:
        The attacks that can run, and by id what the others lack.
    """
    able, lacking = [], {}
    for attack in ATTACKS.values():
        absent = [part for part in attack.needs if part not in held]
        absent += [part for part in missing(attack, evidence) if part not in absent]
        if absent:
            lacking[attack.id] = tuple(absent)
        else:
            able.append(attack)
    return able, lacking


def evidence_panels(
    method: str, listed: Listed, evidence: Evidence, held: Collection[str]
) -> tuple[dict[Key, Panel], dict[str, tuple[str, ...]]]:
    """Runs every attack that can run.

    Args:
        method: Whom the evidence is about.
        listed: The records.
        evidence: The evidence about them, in their order.
        held: The parts of it that were measured.

    Returns:
        A panel per attack, and by id what the other attacks lack.
    """
    able, lacking = runnable(evidence, held)
    # The records of a group stand together, in the order of the subjects.
    scored = Scored(MODEL, listed.subjects, evidence, (1,) * len(listed.subjects))
    flips = listed.flips
    panels = {(method, a.id): build_panel([scored], flips, a, ATTACKS["loss"]) for a in able}
    return panels, lacking


def base_panels(listed: Listed, evidence: Evidence, held: Collection[str]) -> dict[Key, Panel]:
    """Attacks the base itself, which holds nothing of the members beyond what it shares with the model.

    Args:
        listed: The records.
        evidence: The evidence; its reference is the base.
        held: The parts of it that were measured.

    Returns:
        A panel per attack that reads one model's scores alone; nothing without a base.
    """
    if evidence.reference is None:
        return {}
    arrays = ARRAYS & frozenset(held)
    return evidence_panels(CONTROL_BASE, listed, Evidence(target=evidence.reference), arrays)[0]


def blind_panel(listed: Listed, seeds: Seeds) -> tuple[Panel | None, str]:
    """Makes the blind control.

    Args:
        listed: The records.
        seeds: Where its folds come from.

    Returns:
        The panel, or None; and how it was made, or why it was not.
    """
    if listed.texts is None:
        return None, NO_TEXT
    seed = seeds.integer("blind")
    blind = blind_scores(listed.texts, listed.member, listed.users, listed.dates, seed)
    return None if blind.scores is None else score_panel(listed, blind.scores), blind.reason
