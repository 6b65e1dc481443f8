"""What may be said of planted secrets: one randomisation test over all methods and numbers of repetitions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from attacks.statistics import UserScores
from prime_audit.audit.panel import Panel
from prime_audit.audit.verdict import TestKey, alarm_of, findings, run_tests
from prime_audit.core import plural
from prime_audit.results import AttackInfo, Finding
from prime_audit.study.canary_metrics import Seen, SeenByMethod
from prime_audit.study.control_names import CONTROL_BASE, OWN_MODULE
from prime_audit.study.epsilon_metrics import BoundOfMethod
from prime_audit.study.workbench import Workbench

EXPOSURE: Final = "exposure"
EPSILON: Final = "epsilon"


def canary_attacks(bounds: Sequence[BoundOfMethod]) -> list[AttackInfo]:
    """Lists what the findings of the canary arm name, as attacks of a kind of their own.

    Args:
        bounds: The lower bounds on epsilon, if there are any.

    Returns:
        ``exposure``, and ``epsilon`` where a claim was held against bounds.
    """
    exposure = AttackInfo(
        id=EXPOSURE,
        kind="canary",
        threat_model="A2",
        needs=("logp",),
        source="Carlini et al. 2019, arXiv 1802.08232, section 4.2",
        version=1,
    )
    if not any(bound.claim for bound in bounds):
        return [exposure]
    source = "Steinke et al. 2023, arXiv 2305.08846; arXiv 2410.22235"
    changed = {"id": EPSILON, "source": source}
    return [exposure, exposure.model_copy(update=changed)]


def canary_findings(bench: Workbench, found: SeenByMethod) -> list[Finding]:
    """Tests whether planted secrets stand out above those that a coin left out.

    A secret is compared with others of its type that would have been repeated as often: the coins are
    permuted within these, together for all methods and numbers of repetitions (max-T). Its score is how far
    it stands out among the candidates, less what the base shows. The base, which was trained on none of
    them, is the alarm; own modules are tested by themselves, so that they cost the methods nothing.

    Args:
        bench: The workbench.
        found: What `seen_by_method` read.

    Returns:
        A finding per method, and one about the sharers' own modules.
    """
    draws, rng = bench.config.audit.permutations, bench.seeds.generator("canaries", "max-t")
    base, own, methods = (
        _panels({method: seen for method, seen in found.items() if _kind(method) == which})
        for which in (CONTROL_BASE, OWN_MODULE, "method")
    )
    alarm = alarm_of(run_tests(base, rng, draws, two_sided=True))
    tested = [
        _worded(finding)
        for panels in (methods, own)
        for finding in findings(run_tests(panels, rng, draws), "", alarm)
    ]
    known = {finding.method for finding in tested}
    untested = [method for method in found if method not in known and method != CONTROL_BASE]
    return [*tested, *map(_untested, untested)]


def _kind(method: str) -> str:
    return method if method in (CONTROL_BASE, OWN_MODULE) else "method"


def _panels(found: SeenByMethod) -> dict[TestKey, Panel]:
    """One panel per method and number of repetitions that holds a planted secret beside one that is not."""
    panels = {}
    ids = sorted({one.canary.id for seen in found.values() for one in seen})
    places = {name: place for place, name in enumerate(ids)}
    for method, seen in found.items():
        for times in sorted({one.canary.repetitions for one in seen}):
            panel = _panel([one for one in seen if one.canary.repetitions == times], places)
            if any(user.comparable for user in panel.users):
                panels["sharer", method, str(times)] = panel
    return panels


def _panel(seen: Sequence[Seen], places: Mapping[str, int]) -> Panel:
    """The secrets of one number of repetitions, grouped by type as records elsewhere are by user."""
    by_type: dict[str, list[Seen]] = defaultdict(list)
    for one in sorted(seen, key=lambda one: one.canary.id):
        by_type[one.canary.kind].append(one)
    groups = {f"{kind} x{group[0].canary.repetitions}": group for kind, group in sorted(by_type.items())}
    return Panel(
        users=tuple(
            UserScores(
                user=name,
                member=np.array([one.canary.inserted for one in group], dtype=np.bool_),
                scores=np.array([[one.stands_out for one in group]]),
            )
            for name, group in groups.items()
        ),
        attempted=len(seen),
        scored=len(seen),
        oriented=False,
        copies_loss=False,
        places=tuple(np.array([places[one.canary.id] for one in group]) for group in groups.values()),
    )


def _worded(finding: Finding) -> Finding:
    """Says of a test's outcome what it means for secrets; the test named the number of repetitions."""
    times = plural(int(finding.attack or 0), "time")
    reason = finding.reason
    if finding.verdict == "leak":
        reason = f"secrets that were planted {times} can be told from like ones that were never planted"
    elif finding.verdict == "none detected":
        reason = "no planted secret stands out above those that were never planted beyond chance"
    elif finding.could_have_seen is None and finding.p is not None:
        reason = "too few planted secrets: a leak of any size would have gone unseen"
    return finding.model_copy(update={"attack": EXPOSURE, "reason": reason})


def _untested(method: str) -> Finding:
    reason = "no secret that was planted stands beside a like one that was not: plant more of them"
    return Finding(method=method, subject="sharer", attack=EXPOSURE, verdict="inconclusive", reason=reason)
