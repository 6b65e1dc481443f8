"""What may be said: one max-T randomisation test over all attacks and methods, and the controls as alarms.

In a randomised design a leak is stated when the adjusted p-value is at most .05. The blind, base and placebo
rows are one half by design; a control that departs from it at p < .001 says that the design is broken, and
then nothing is concluded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from attacks.statistics import TestResult, max_t
from prime_audit.audit.panel import Panel
from prime_audit.results import Finding

LEVEL = 0.05
ALARM = 0.001
# Above this share of non-members that nearly repeat a member, "none detected" would say too much.
MOST_REPEATS = 0.05
_NO_FIGURE = "no attack has a defined figure; the metrics say why"
_NOT_RUN = "no attack could be run on it; what was skipped says why"

Key = tuple[str, str]  # method, attack
TestKey = tuple[str, str, str]  # subject, method, attack


def run_tests(
    panels: Mapping[TestKey, Panel], rng: np.random.Generator, draws: int, *, two_sided: bool = False
) -> dict[TestKey, TestResult]:
    """Tests every method and attack on every subject together.

    Args:
        panels: Panels by subject, method and attack; only those whose metrics are defined.
        rng: The generator of the permutations.
        draws: Number of permutations.
        two_sided: Also count members ranked below non-members (a control must not depart either way).

    Returns:
        Raw and adjusted p-values under the same keys; adjusted for all of them at once.
    """
    groups = _of_one_membership(panels)
    found: dict[TestKey, TestResult] = {}
    for group in groups:
        tested = max_t({"/".join(key): panels[key].users for key in group}, rng, draws, two_sided)
        for key in group:
            found[key] = _shared_level(tested["/".join(key)], len(groups))
    return {key: found[key] for key in panels}


def _shared_level(result: TestResult, groups: int) -> TestResult:
    """Lets several tests share one level; what would have been seen moves by the quantiles of the normal."""
    further = float(ndtri(1 - LEVEL / groups) - ndtri(1 - LEVEL)) * result.null_sd
    return replace(
        result, p_adjusted=min(1.0, groups * result.p_adjusted), detectable=result.detectable + further
    )


def _of_one_membership(panels: Mapping[TestKey, Panel]) -> list[list[TestKey]]:
    """Groups panels that score the same records of every user whom they share.

    One permutation serves a group. An attack that cannot score a user's shorter records goes into a group of
    its own, and p-values are multiplied by the number of groups (Bonferroni).
    """
    groups: list[tuple[dict[str, tuple[bytes, bytes]], list[TestKey]]] = []
    for key in sorted(panels):
        panel = panels[key]
        which = [places.tobytes() for places in panel.places] or [b""] * len(panel.users)
        members = {u.user: (w, u.member.tobytes()) for u, w in zip(panel.users, which, strict=True)}
        for known, keys in groups:
            if all(known.get(user, flags) == flags for user, flags in members.items()):
                known |= members
                keys.append(key)
                break
        else:
            groups.append((members, [key]))
    return [keys for _, keys in groups]


def findings(tested: Mapping[TestKey, TestResult], primary: str, alarm: str) -> list[Finding]:
    """Words the outcome of the test, one finding per method and subject.

    The adjusted p-values hold for all attacks on all methods at once: a method leaks if its smallest one is
    at most .05. A finding names the attack with that p-value; the primary attack where it ties.

    Args:
        tested: Test results by subject, method and attack.
        primary: The attack that was named beforehand.
        alarm: Why the design is in doubt, or an empty string.

    Returns:
        Findings in the order of ``tested``.
    """
    found = []
    for (subject, method), results in _by_method(tested).items():
        strongest = min(results, key=lambda attack: (results[attack].p_adjusted, attack != primary))
        found.append(_finding(method, subject, strongest, results[strongest], alarm))
    return found


def untested(
    asked: Collection[TestKey], tested: Collection[TestKey], lacking: Collection[TestKey] = ()
) -> list[Finding]:
    """Says of methods that have no defined figure that nothing can be concluded.

    Args:
        asked: What was attacked.
        tested: What could be tested.
        lacking: What could not be attacked, for want of evidence.

    Returns:
        One ``inconclusive`` finding per method and subject without any test.
    """
    attacked = {key[:2] for key in asked}
    without = dict.fromkeys(key[:2] for key in (*asked, *lacking))
    for key in tested:
        without.pop(key[:2], None)
    return [
        Finding.model_validate(
            {
                "method": method,
                "subject": subject,
                "verdict": "inconclusive",
                "reason": _NO_FIGURE if (subject, method) in attacked else _NOT_RUN,
            }
        )
        for subject, method in without
    ]


def with_repeats(found: Sequence[Finding], repeats: int, nonmembers: int) -> list[Finding]:
    """Takes back what cannot be said where held-out records nearly repeat ones that were trained on.

    Such records score like members, which hides a leak and cannot make one up.

    Args:
        found: The findings.
        repeats: Non-members that nearly repeat something trained on.
        nonmembers: All non-members.

    Returns:
        The findings; above 5 % of the non-members "none detected" becomes "inconclusive".
    """
    if repeats <= MOST_REPEATS * nonmembers:
        return list(found)
    reason = f"{repeats} of {nonmembers} non-members nearly repeat a member, which hides a leak"
    changed = {"verdict": "inconclusive", "reason": reason, "could_have_seen": None}
    return [f.model_copy(update=changed) if _claims_nothing(f) else f for f in found]


def _claims_nothing(finding: Finding) -> bool:
    """A control is read by its p-value, and must show nothing."""
    return finding.verdict == "none detected" and not finding.method.startswith("control-")


def _by_method(tested: Mapping[TestKey, TestResult]) -> dict[tuple[str, str], dict[str, TestResult]]:
    grouped: dict[tuple[str, str], dict[str, TestResult]] = {}
    for (subject, method, attack), result in tested.items():
        grouped.setdefault((subject, method), {})[attack] = result
    return grouped


def _finding(
    method: str, subject: str, attack: str, result: TestResult, alarm: str, level: float = LEVEL
) -> Finding:
    verdict, reason = "none detected", "no attack ranked members above non-members beyond chance"
    if alarm:
        verdict, reason = "inconclusive", alarm
    elif result.p_adjusted <= level:
        verdict, reason = "leak", "members rank above non-members of the same user"
    elif result.detectable > 1:
        verdict, reason = "inconclusive", "too few records: a leak of any size would have gone unseen"
    return Finding.model_validate(
        {
            "method": method,
            "subject": subject,
            "attack": attack,
            "verdict": verdict,
            "p": result.p_adjusted,
            "reason": reason,
            # An AUC above 1 cannot be seen: the test was too small to see anything.
            "could_have_seen": result.detectable if result.detectable <= 1 else None,
        }
    )


def control_findings(tested: Mapping[TestKey, TestResult]) -> list[Finding]:
    """Words the outcome for the controls that must show nothing, one finding per control and subject.

    Args:
        tested: Two-sided test results of the base and placebo controls.

    Returns:
        ``none detected``, or ``inconclusive`` for a control that departs from one half at p < .001.
    """
    found = []
    for (subject, control), results in _by_method(tested).items():
        attack = min(results, key=lambda name: results[name].p_adjusted)
        alarm = alarm_of({(subject, control, name): result for name, result in results.items()})
        found.append(_finding(control, subject, attack, results[attack], alarm, level=0))
    return found


def counterfactual_findings(tested: Mapping[TestKey, TestResult]) -> list[Finding]:
    """Words what members show where the attacked sharer's module had no part, one finding per control.

    It is no leak of the module and no alarm: sharers are selected, and merges searched, by what members say.

    Args:
        tested: Two-sided test results of the counterfactual control.

    Returns:
        ``difference`` at an adjusted p of at most .05, or ``none detected``.
    """
    found = []
    for (subject, control), results in _by_method(tested).items():
        attack = min(results, key=lambda name: results[name].p_adjusted)
        finding = _finding(control, subject, attack, results[attack], "", level=0)
        if results[attack].p_adjusted <= LEVEL:
            reason = "members differ from non-members without the sharer's module: selection reads members"
            finding = finding.model_copy(update={"verdict": "difference", "reason": reason})
        found.append(finding)
    return found


def alarm_of(tested: Mapping[TestKey, TestResult]) -> str:
    """Returns why the controls put the design in doubt, or an empty string.

    Args:
        tested: Two-sided test results of the base and placebo controls.

    Returns:
        A sentence naming the first control that fired.
    """
    for (_, control, attack), result in tested.items():
        if result.p_adjusted < ALARM:
            return f"{control} departs from one half under the attack {attack} (p < {ALARM}): broken design"
    return ""
