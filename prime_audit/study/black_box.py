"""Black-box linkage in a study: do likelihoods say whose modules are in what was deployed?"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from attacks import (
    Evidence,
    SharerGains,
    TargetGains,
    TokenScores,
    adjusted_auc,
    learnt,
    linkage_auc,
    mean_gain,
    record_gains,
    similarity_auc,
)
from attacks.arrays import FloatArray
from attacks.black_box import SCORES, Group, Score
from attacks.statistics import Estimate
from prime_audit.audit.membership import interval
from prime_audit.modules import read_module
from prime_audit.personalize import nearest
from prime_audit.results import Gap, Metric, N, SliceValue
from prime_audit.study.control_names import WITHOUT
from prime_audit.study.gaps import gap_of
from prime_audit.study.remaking import rerun_method
from prime_audit.study.units import Output, Outputs
from prime_audit.study.work import embeddings, score_adapter
from prime_audit.study.workbench import Workbench

SIMILARITY: Final = "similarity"
_GAIN: Final = "gain"
# Users are scored together until their texts, in bytes, fill so many batches. User by user, histories of one
# to four records take two to four times as long; larger groups save nothing and hold more.
_BATCHES: Final = 16
_GROUPS: Final[Mapping[SliceValue | None, Group]] = {"others": "others", "turned": "turned"}


def black_box_unit(method: str, target: str) -> str:
    """Returns the name of the unit that asks a deployed model about all sharers."""
    return f"black-box/{method}/{target}"


def similarities(bench: Workbench, pool: Sequence[str]) -> Output:
    """Computes how alike each target and each sharer are, by what sharers are selected by.

    Args:
        bench: The workbench.
        pool: The sharers that were open to selection.

    Returns:
        ``cosines``: by target and sharer, most similar first.
    """
    targets, sharers = embeddings(bench)
    return {"cosines": nearest(targets, sharers, len(pool), pool)}


def ask_about_sharers(
    bench: Workbench, name: str, deployed: Output, scored: Sequence[str], pool: Sequence[str]
) -> Output:
    """Asks what a method deployed for one target about the records of every sharer, merged or not.

    A few sharers are asked about at a time, and one number per record is kept: memory does not grow with the
    evidence of all of them.

    Args:
        bench: The workbench.
        name: The unit's name, ``black-box/<method>/<target>``; the gains are written under it.
        deployed: Output of the unit that deployed.
        scored: The sharers whose records the deployed model has scored already.
        pool: The sharers that were open to selection.

    Returns:
        ``sharers`` in the order of their gains and their ``weights``; or ``skipped`` with the reason.
    """
    if deployed["adapter"] is None:
        bench.save_parts(name, {})
        return {"sharers": [], "weights": [], "skipped": "it fell back to the base"}
    _, method, target = name.split("/")
    others = [user for user in pool if user not in scored]
    adapter = read_module(bench.adapter_path(method, target))
    # A method that is about the target too has scored the target's records after the sharers'.
    count = sum(len(bench.member(user)) for user in scored)
    known = bench.evidence(f"score/{method}/{target}").take(np.arange(count))
    gains = [_over_base(bench, scored, known)]
    for group in _groups(bench, others):
        gains.append(_over_base(bench, group, score_adapter(bench, group, [adapter], np.ones(1))))
    bench.save_parts(name, {_GAIN: np.concatenate(gains)})
    users = [*scored, *others]
    held = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    return {"sharers": users, "weights": [float(held.get(user, 0.0)) for user in users]}


def black_box_metrics(bench: Workbench, outputs: Outputs) -> list[Metric]:
    """Sets what likelihoods say of merged sharers beside what they say of the others.

    A sharer is merged who resembles the target, and a model made for the target fits whoever resembles it: so
    the AUC of the selection's similarity alone stands beside those of the gains, and what similarity leaves
    of them. The merges made again without a sharer (the control ``without-sharer``) say what gain the merged
    sharers would have had all the same. They are no reference: for a sharer who is not merged such a merge is
    the deployed one, and scores against it would separate the two by construction.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; those of ``black-box/<method>/<target>`` are read.

    Returns:
        Per method ``linkage.black_box.auc`` of the gains on trained records, on held-out records, of their
        difference, and of similarity; ``linkage.black_box.adjusted_auc``; ``linkage.black_box.gain`` of
        merged and other sharers; and ``linkage.black_box.learnt``, what the merged sharers' difference has
        beyond that in the merges without them, both in nats per record.
    """
    return [
        metric
        for method, targets in _units(outputs).items()
        for metric in _metrics(bench, method, _read(bench, outputs, method, targets), outputs, len(targets))
    ]


def black_box_gaps(outputs: Outputs) -> list[tuple[Gap, int]]:
    """Says how many of a method's models were asked about all sharers, and why not the others.

    Args:
        outputs: Outputs of all units.

    Returns:
        Per method a gap, whose reason is empty where nothing was left out, and the number of models.
    """
    return [
        gap_of(f"{method}/black-box", [outputs[black_box_unit(method, target)] for target in targets])
        for method, targets in _units(outputs).items()
    ]


def _units(outputs: Outputs) -> dict[str, list[str]]:
    """By method the targets whose models were to be asked."""
    units: dict[str, list[str]] = defaultdict(list)
    for name in outputs:
        if name.startswith("black-box/"):
            _, method, target = name.split("/")
            units[method].append(target)
    return units


def _groups(bench: Workbench, users: Sequence[str]) -> Iterator[list[str]]:
    """Cuts users, in their order, into groups whose records fill some batches."""
    group: list[str] = []
    size = 0
    for user in users:
        group.append(user)
        size += bench.history_size(user)
        if size >= _BATCHES * bench.batching.tokens:
            yield group
            group, size = [], 0
    if group:
        yield group


def _over_base(bench: Workbench, users: Sequence[str], scores: TokenScores) -> FloatArray:
    """How much likelier than under the base each record of these users is, ``(n,)``; in nats."""
    return record_gains(Evidence(scores, _of_base(bench, users)))


def _of_base(bench: Workbench, users: Sequence[str]) -> TokenScores:
    return TokenScores.concat([bench.evidence(f"score/base/{user}") for user in users])


def _read(bench: Workbench, outputs: Outputs, method: str, targets: Sequence[str]) -> dict[str, TargetGains]:
    """By target what its model says; nothing of those that fell back to the base."""
    found = {}
    for target in targets:
        name = black_box_unit(method, target)
        output = outputs[name]
        if "skipped" not in output:
            gains = np.asarray(bench.parts(name)[_GAIN])
            weights = dict(zip(output["sharers"], output["weights"], strict=True))
            found[target] = _split(bench, gains, weights, _cosines(outputs, target))
    return found


def _cosines(outputs: Outputs, target: str) -> Mapping[str, float]:
    cosines: Mapping[str, float] = outputs[SIMILARITY]["cosines"][target]
    return cosines


def _split(
    bench: Workbench, gains: np.ndarray, weights: Mapping[str, float], cosines: Mapping[str, float]
) -> TargetGains:
    """Cuts gains into those of the sharers, which follow each other as their weights do."""
    sharers, start = {}, 0
    for user, weight in weights.items():
        member = bench.member(user)
        own = gains[start : start + len(member)]
        sharers[user] = SharerGains(own, member, weight, cosines[user])
        start += len(member)
    return TargetGains(sharers)


def _without(
    bench: Workbench, outputs: Outputs, method: str, deployed: Mapping[str, TargetGains]
) -> list[TargetGains] | None:
    """What the merges made again without each merged sharer say of them; None where none were made."""
    config = bench.config
    if "without-sharer" not in config.audit.run_controls or rerun_method(config).id != method:
        return None
    found = []
    for target, said in deployed.items():
        selected = list(outputs["select"]["selected"][target])
        scores = bench.evidence(f"score/{WITHOUT}/{target}")
        gains = _over_base(bench, selected, scores)
        weights = {user: said.sharers[user].weight for user in selected}
        found.append(_split(bench, gains, weights, _cosines(outputs, target)))
    return found


def _metrics(
    bench: Workbench, method: str, said: Mapping[str, TargetGains], outputs: Outputs, attempted: int
) -> Iterator[Metric]:
    targets = list(said.values())
    groups = [one.group for target in targets for one in target.sharers.values()]

    def metric(name: str, found: Estimate, unit: str = "probability", **part: SliceValue) -> Metric:
        n = _counts(targets, attempted, _GROUPS.get(part.get("sharers"), "merged"))
        return _metric(f"linkage.black_box.{name}", method, found, n, unit, part)

    for name, part, found in _aucs(targets, groups.count("turned")):
        yield metric(name, found, **part)
    without = _without(bench, outputs, method, said)
    missing = Estimate(None, None, "undefined: no merges of this method were made again without-sharer")
    yield metric("learnt", learnt(targets, without) if without else missing, "nats per record")
    for sharers, score, found in _gains(targets, groups, without):
        yield metric("gain", found, "nats per record", score=score, sharers=sharers)


def _counts(targets: Sequence[TargetGains], attempted: int, group: Group) -> N:
    """Pairs of a target and a merged (or turned) or another sharer, over the targets that have the group."""
    asked = [[sharer.group for sharer in target.sharers.values()] for target in targets]
    asked = [groups for groups in asked if group in groups]
    return N(
        attempted=attempted,
        scored=len(asked),
        failed=0,
        members=sum(groups.count("turned" if group == "turned" else "merged") for groups in asked),
        nonmembers=sum(groups.count("others") for groups in asked),
        users=len({user for target in targets for user in target.sharers}),
    )


def _aucs(targets: Sequence[TargetGains], turned: int) -> Iterator[tuple[str, dict[str, str], Estimate]]:
    """Name, slice and AUC: of merged sharers unless the slice says otherwise."""
    note = f"{turned} pairs with a negative weight stand apart" if turned else ""
    for score in SCORES:
        found = linkage_auc(targets, score)
        reason = "; ".join(filter(None, [found.reason, note]))
        yield "auc", {"score": score}, Estimate(found.value, found.interval, reason)
        yield "adjusted_auc", {"score": score}, adjusted_auc(targets, score)
        if turned:
            yield "auc", {"score": score, "sharers": "turned"}, linkage_auc(targets, score, "turned")
    yield "auc", {"score": SIMILARITY}, similarity_auc(targets)


def _gains(
    targets: Sequence[TargetGains], groups: Sequence[Group], without: Sequence[TargetGains] | None
) -> Iterator[tuple[str, Score, Estimate]]:
    """Whose gain, over which records, and its mean."""
    asked: list[tuple[str, Group, Sequence[TargetGains]]] = [("merged", "merged", targets)]
    asked += [("others", "others", targets)]
    asked += [("turned", "turned", targets)] if "turned" in groups else []
    asked += [("without", "merged", without)] if without is not None else []
    for sharers, group, of in asked:
        for score in SCORES:
            yield sharers, score, _gain(of, score, group)


def _gain(targets: Sequence[TargetGains], score: Score, group: Group) -> Estimate:
    return mean_gain(targets, score, lambda one: one.group == group)


def _metric(
    name: str, method: str, found: Estimate, n: N, unit: str, part: Mapping[str, SliceValue]
) -> Metric:
    # All else rises also where a model merely fits people who are alike, which is nobody's leak.
    leak = name.endswith(".learnt")
    return Metric.model_validate(
        {
            "id": name,
            "method": method,
            "adversary": "A2",
            "reference": "base",
            "subject": "sharer",
            "slice": dict(part),
            "value": found.value,
            "status": "undefined" if found.value is None else "ok",
            "reason": found.reason,
            "ci": interval(found),
            "n": n,
            "direction": "lower" if leak else None,
            "unit": unit,
        }
    )
