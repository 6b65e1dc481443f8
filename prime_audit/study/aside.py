"""Which records of a target may be compared, where some chose the deployed epoch and were not trained on."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prime_audit.core import plural
from prime_audit.personalize import METHODS
from prime_audit.results import Gap
from prime_audit.study.units import Outputs
from prime_audit.study.workbench import Workbench, own_unit


def set_aside(outputs: Outputs, method: str, target: str) -> int:
    """Counts the target's latest IN records that a method's module was not trained on.

    Args:
        outputs: Outputs that hold those of the method's units.
        method: The method's id.
        target: The target.

    Returns:
        The number; 0 for a method without early stopping.
    """
    own = outputs.get(own_unit(method, target), {}).get("held_out", 0)
    return int(own) + int(outputs[f"deploy/{method}/{target}"]["aside"])


def compared(bench: Workbench, outputs: Outputs, method: str, target: str) -> NDArray[np.bool_]:
    """Says which of the target's records the audit of a method compares; see `Holdout.compared`.

    Args:
        bench: The workbench.
        outputs: Outputs that hold those of the method's units.
        method: The method's id.
        target: The target.

    Returns:
        ``(N,)`` One flag per audited record of the target.
    """
    user = bench.dataset.user(target)
    return np.array(bench.holdout.compared(user, set_aside(outputs, method, target)), dtype=bool)


def aside_gaps(bench: Workbench, outputs: Outputs) -> Iterator[Gap]:
    """Says per method how many records its audit leaves out, and why.

    Args:
        bench: The workbench.
        outputs: Outputs of all units.

    Yields:
        One gap per method that set records of its targets aside.
    """
    if bench.config.audit.design != "holdout":
        return
    for method in bench.config.methods:
        if "target" not in METHODS[method.kind].about:
            continue
        aside = held_out = 0
        for target in bench.dataset.targets:
            out = ~compared(bench, outputs, method.id, target.id)
            member = bench.member(target.id)
            aside += int((out & member).sum())
            held_out += int((out & ~member).sum())
        if aside:
            reason = (
                f"{plural(aside, 'record')} of the targets chose when training stopped and "
                f"had no part in its steps: neither these nor the {held_out} held-out ones from the same "
                "time on are compared; the controls are over all records"
            )
            yield Gap(id=f"{method.id}/set aside", reason=reason)
