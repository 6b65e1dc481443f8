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


def findings(tested: Mapping[Key, TestResult], subject: str, alarm: str) -> list[Finding]:
    """Words the outcome of each test.

    Args:
        tested: Test results by method and attack.
        subject: ``sharer`` or ``target``.
        alarm: Why the design is in doubt, or an empty string.

    Returns:
        One finding per method and attack.
    """
    found = []
    for (method, attack), result in tested.items():
        verdict, reason = "none detected", "the test did not find members ranked above non-members"
        if alarm:
            verdict, reason = "inconclusive", alarm
        elif result.p_adjusted <= LEVEL:
            verdict, reason = "leak", "members rank above non-members of the same user"
        found.append(
            Finding.model_validate(
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
        )
    return found


def alarm_of(tested: Mapping[Key, TestResult]) -> str:
    """Returns why the controls put the design in doubt, or an empty string.

    Args:
        tested: Test results of the base and placebo controls.

    Returns:
        A sentence naming the first control that fired.
    """
    for (method, attack), result in tested.items():
        if result.p_adjusted < ALARM:
            return f"{method} departs from one half under the attack {attack} (p < {ALARM}): broken design"
    return ""
