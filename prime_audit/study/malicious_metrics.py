"""Figures of a cheating merger: what chosen weights or a crafted module bring out of a victim."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from attacks.statistics import Estimate, mean_interval, success_rate
from prime_audit.audit.membership import interval
from prime_audit.results import Gap, Metric, N
from prime_audit.study.canary_metrics import Seen, SeenByMethod, seen_in
from prime_audit.study.control_names import OWN_MODULE
from prime_audit.study.gaps import gap_of
from prime_audit.study.malicious import honest_unit
from prime_audit.study.units import Outputs
from prime_audit.study.workbench import Workbench

# By person, under the attack and in the honest merge: exposure beyond never-inserted secrets, in bits.
_Pairs = Mapping[str, tuple[float, float]]


def malicious_metrics(bench: Workbench, outputs: Outputs, found: SeenByMethod) -> list[Metric]:
    """Sets what a cheating merger gets beside the honest merge, victim by victim.

    A merger who chooses the weights deploys the victim's module alone, so the arm ``weights`` reads what own
    modules show. In the arm ``module`` the victim's secrets are asked for in the same target's merge, carried
    out with and without the crafted module. Values are averaged over a victim's merges first: people are
    independent of each other, merges are not.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; those of ``cheat/<method>/<target>`` are read.
        found: What `seen_by_method` read.

    Returns:
        Per method and arm ``malicious.exposure``, ``malicious.honest`` and ``malicious.gain`` in bits beyond
        never-inserted secrets, and ``malicious.completed``; for crafted modules ``malicious.weight`` and
        ``malicious.share``. Nothing if the study asks for none.
    """
    if bench.config.audit.malicious is None:
        return []
    metrics: list[Metric] = []
    for method, units in _units(outputs).items():
        if method in found and OWN_MODULE in found:
            own, merged = (_by_person(found[name]) for name in (OWN_MODULE, method))
            victims = [user for user in merged if user in own]
            pairs = _pairs({user: [(own[user], merged[user])] for user in victims})
            inside = [one for user in victims for one in own[user] if one.canary.inserted]
            metrics += _arm(method, "weights", pairs, inside)
        metrics += _crafted(bench, outputs, method, units)
    return metrics


def malicious_gaps(outputs: Outputs) -> list[tuple[Gap, int]]:
    """Says in how many merges a crafted module was tried, and why not in the others.

    Args:
        outputs: Outputs of all units.

    Returns:
        Per method a gap, whose reason is empty where nothing was left out, and the number of merges.
    """
    return [
        gap_of(f"{method}/malicious", [outputs[name] for name in units], "merges")
        for method, units in _units(outputs).items()
    ]


def _units(outputs: Outputs) -> dict[str, list[str]]:
    units: dict[str, list[str]] = defaultdict(list)
    for name in outputs:
        if name.startswith("cheat/"):
            units[name.split("/")[1]].append(name)
    return units


def _crafted(bench: Workbench, outputs: Outputs, method: str, units: Sequence[str]) -> Iterator[Metric]:
    both: dict[str, list[tuple[list[Seen], list[Seen]]]] = defaultdict(list)
    values: dict[str, dict[str, list[float]]] = {"weight": defaultdict(list), "share": defaultdict(list)}
    inside: dict[str, Seen] = {}
    for name in units:
        output = outputs[name]
        if "skipped" in output:
            continue
        victim, beside = str(output["victim"]), honest_unit(method, name.split("/")[2])
        attacked, honest = (
            list(seen_in(bench, unit, outputs[unit], {}, extrapolate=False)) for unit in (name, beside)
        )
        both[victim].append((attacked, honest))
        for part, found in values.items():
            found[victim].append(output[part])
        for one in attacked:
            # A secret counts once, as completed where some merge completes it.
            kept = inside.get(one.canary.id)
            if one.canary.inserted and (kept is None or one.verbatim > kept.verbatim):
                inside[one.canary.id] = one
    pairs = _pairs(both)
    yield from _arm(method, "module", pairs, list(inside.values()))
    for part, found in values.items():
        means = np.array([np.mean(found[user]) for user in pairs])
        yield _metric(f"malicious.{part}", method, "module", mean_interval(means, unit="people"), len(means))


def _by_person(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    people: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        people[one.canary.user].append(one)
    return people


def _beyond(seen: Sequence[Seen]) -> float | None:
    """Mean exposure of a person's planted secrets less that of the never-planted; None without both."""
    sides = [[one.bits for one in seen if one.canary.inserted is side] for side in (True, False)]
    return float(np.mean(sides[0]) - np.mean(sides[1])) if all(sides) else None


def _pairs(both: Mapping[str, Sequence[tuple[Sequence[Seen], Sequence[Seen]]]]) -> _Pairs:
    found = {}
    for user, several in both.items():
        known = [(_beyond(attacked), _beyond(honest)) for attacked, honest in several]
        kept = [(first, second) for first, second in known if first is not None and second is not None]
        if kept:
            means = np.mean(kept, axis=0)
            found[user] = (float(means[0]), float(means[1]))
    return found


def _arm(method: str, arm: str, pairs: _Pairs, inside: Sequence[Seen]) -> Iterator[Metric]:
    table = np.array(list(pairs.values()), dtype=np.float64).reshape(-1, 2)
    values = {"exposure": table[:, 0], "honest": table[:, 1], "gain": table[:, 0] - table[:, 1]}
    for name, column in values.items():
        found = mean_interval(column, unit="people")
        yield _metric(f"malicious.{name}", method, arm, found, len(column), "bits")
    said = np.array([one.verbatim for one in inside], dtype=np.float64)
    rate = success_rate(said, unit="planted secrets of victims")
    yield _metric("malicious.completed", method, arm, rate, len(said), "probability")


def _metric(
    name: str, method: str, arm: str, found: Estimate, count: int, unit: str = "merge weight"
) -> Metric:
    people = name != "malicious.completed"
    return Metric(
        id=name,
        method=method,
        adversary="A0",
        subject="sharer",
        slice={"arm": arm},
        value=found.value,
        status="undefined" if found.value is None else "ok",
        reason=found.reason,
        ci=interval(found),
        n=N(users=count) if people else N(attempted=count, scored=count, failed=0),
        direction=None if name == "malicious.honest" else "lower",
        unit=unit,
    )
