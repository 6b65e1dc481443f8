"""What may be said: one max-T randomisation test over all attacks and methods, and the controls as alarms.

In a randomised design a leak is stated when the adjusted p-value is at most .05. The blind, base and placebo
rows are one half by design; a control that departs from it at p < .001 says that the design is broken, and
then nothing is concluded.
"""

from collections.abc import Mapping

import numpy as np

from attacks.statistics import TestResult, max_t
from prime_audit.audit.panel import Panel
from prime_audit.results import Finding

LEVEL = 0.05
ALARM = 0.001

Key = tuple[str, str]  # method, attack


def run_tests(
    panels: Mapping[Key, Panel], rng: np.random.Generator, draws: int, *, two_sided: bool = False
) -> dict[Key, TestResult]:
    """Tests every method and attack of one subject together.

    Args:
        panels: Panels by method and attack; only those whose metrics are defined.
        rng: The generator of the permutations.
        draws: Number of permutations.
        two_sided: Also count members ranked below non-members (a control must not depart either way).

    Returns:
        Raw and adjusted p-values by method and attack.
    """
    families = {f"{method}/{attack}": panel.users for (method, attack), panel in panels.items()}
    if not families:
        return {}
    tested = max_t(families, rng, draws=draws, two_sided=two_sided)
    return {key: tested[f"{key[0]}/{key[1]}"] for key in panels}


def findings(tested: Mapping[Key, TestResult], subject: str, primary: str, alarm: str) -> list[Finding]:
    """Words the outcome of the test, one finding per method.

    The adjusted p-values hold for all attacks on all methods at once: a method leaks if its smallest one is
    at most .05. A finding names the attack with that p-value; the primary attack where it ties.

    Args:
        tested: Test results by method and attack.
        subject: ``sharer`` or ``target``.
        primary: The attack that was named beforehand.
        alarm: Why the design is in doubt, or an empty string.

    Returns:
        One finding per method, in the order of ``tested``.
    """
    found = []
    for method in dict.fromkeys(key[0] for key in tested):
        results = {attack: result for (name, attack), result in tested.items() if name == method}
        strongest = min(results, key=lambda attack: (results[attack].p_adjusted, attack != primary))
        found.append(_finding(method, subject, strongest, results[strongest], alarm))
    return found


def _finding(
    method: str, subject: str, attack: str, result: TestResult, alarm: str, level: float = LEVEL
) -> Finding:
    verdict, reason = "none detected", "no attack ranked members above non-members beyond chance"
    if alarm:
        verdict, reason = "inconclusive", alarm
    elif result.p_adjusted <= level:
        verdict, reason = "leak", "members rank above non-members of the same user"
    elif result.detectable > 1:
        verdict, reason = "inconclusive", "too few records: no leak of any size would have been seen"
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


def control_findings(tested: Mapping[Key, TestResult], subject: str) -> list[Finding]:
    """Words the outcome for the controls that must show nothing, one finding per control.

    Args:
        tested: Two-sided test results of the base and placebo controls.
        subject: ``sharer`` or ``target``.

    Returns:
        ``none detected``, or ``inconclusive`` for a control that departs from one half at p < .001.
    """
    found = []
    for control in dict.fromkeys(key[0] for key in tested):
        results = {attack: result for (name, attack), result in tested.items() if name == control}
        attack = min(results, key=lambda name: results[name].p_adjusted)
        found.append(_finding(control, subject, attack, results[attack], alarm_of(tested, control), level=0))
    return found


def alarm_of(tested: Mapping[Key, TestResult], control: str | None = None) -> str:
    """Returns why the controls put the design in doubt, or an empty string.

    Args:
        tested: Two-sided test results of the base and placebo controls.
        control: Look at this control alone.

    Returns:
        A sentence naming the first control that fired.
    """
    for (method, attack), result in tested.items():
        if control in (None, method) and result.p_adjusted < ALARM:
            return f"{method} departs from one half under the attack {attack} (p < {ALARM}): broken design"
    return ""
