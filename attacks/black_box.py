"""Linkage, black box: is a sharer's module in a deployed model, as far as likelihoods tell?

Whoever reads the probability of each token (A2) and has some of a sharer's records asks how much likelier the
deployed model finds them than the base does. Two things raise that gain: what the sharer's module has learnt,
and that a model made for somebody alike fits the sharer too. The gain on records that the module was trained
on, less that on records of the same sharer that it was not, cancels most of the second, and not all: sharers
are selected by what was trained on alone, so that just these records resemble the target a little more. What
the module adds is told by the same merge made again without it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from attacks.arrays import BoolArray, FloatArray
from attacks.statistics.auc import auc
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import mean_interval

Score = Literal["trained", "held-out", "difference"]
SCORES: Final[tuple[Score, ...]] = ("trained", "held-out", "difference")
Group = Literal["merged", "others", "turned"]


@dataclass(frozen=True, eq=False)
class SharerGains:
    """What a deployed model says of one sharer's records.

    Attributes:
        gains: ``(n,)`` log-likelihood of each record under the deployed model less that under the base, nats.
        member: ``(n,)`` True for a record that the sharer's module was trained on.
        weight: Merge weight of that module in the deployed model; 0 where it is not in it.
        similarity: What the sharer was, or was not, selected by.

    Raises:
        ValueError: The arrays differ in length, or a value is not finite.
    """

    gains: FloatArray
    member: BoolArray
    weight: float
    similarity: float

    def __post_init__(self) -> None:
        """Refuses arrays that do not belong together."""
        if self.gains.shape != self.member.shape:
            raise ValueError(f"gains: {len(self.gains)} for {len(self.member)} records")
        if not np.isfinite([*self.gains, self.weight, self.similarity]).all():
            raise ValueError("gains: a gain, the weight or the similarity is not finite")

    @property
    def group(self) -> Group:
        """Where the sharer stands; one with a weight of zero is nobody else than one never merged."""
        return "others" if self.weight == 0 else "merged" if self.weight > 0 else "turned"

    def score(self, name: Score) -> float | None:
        """Returns the mean gain over trained or held-out records, or their difference; None without both."""
        sides = {"trained": self.gains[self.member], "held-out": self.gains[~self.member]}
        if name != "difference":
            return float(sides[name].mean()) if len(sides[name]) else None
        if not all(map(len, sides.values())):
            return None
        return float(sides["trained"].mean() - sides["held-out"].mean())


@dataclass(frozen=True, eq=False)
class TargetGains:
    """What one target's deployed model says of the sharers.

    Attributes:
        sharers: By name, the merged ones and the others.
    """

    sharers: Mapping[str, SharerGains]

    def scores(self, name: Score, group: Group) -> FloatArray:
        """Returns the scores of a group's sharers; those without one are left out."""
        found = (one.score(name) for one in self.sharers.values() if one.group == group)
        return np.array([value for value in found if value is not None], dtype=np.float64)

    def similarities(self, group: Group) -> FloatArray:
        """Returns the similarities of a group's sharers."""
        found = [one.similarity for one in self.sharers.values() if one.group == group]
        return np.array(found, dtype=np.float64)


def linkage_auc(
    targets: Sequence[TargetGains], name: Score, group: Group = "merged", level: float = 0.95
) -> Estimate:
    """Estimates how well a score tells merged sharers from others.

    The interval is about targets in general and *these* sharers: their modules and records are the same for
    every target, so luck in who holds them is in all AUCs alike. Under the difference score the AUC lies a
    little above ½ even where no module is in any model, since sharers are selected by what was trained on.

    Args:
        targets: What each target's model says.
        name: The score.
        group: ``merged``, or ``turned``: merged with a negative weight, where the module makes its records
            less likely and an AUC below ½ is what gives it away.
        level: Coverage of the interval.

    Returns:
        The mean over targets of the mid-rank AUC, with a t interval from 6 targets; undefined where no
        target has both a sharer of the group and another one.
    """
    both = ((one.scores(name, group), one.scores(name, "others")) for one in targets)
    return _mean_auc([auc(inside, others) for inside, others in both if len(inside) and len(others)], level)


def similarity_auc(targets: Sequence[TargetGains], level: float = 0.95) -> Estimate:
    """Estimates the same of the similarity by which sharers were selected, without asking any model.

    Args:
        targets: What each target's model says.
        level: Coverage of the interval.

    Returns:
        As for `linkage_auc`; 1 where a target merges exactly those who resemble it most.
    """
    return _mean_auc([auc(*sides) for one in targets if all(map(len, sides := _similar(one)))], level)


def adjusted_auc(targets: Sequence[TargetGains], name: Score, level: float = 0.95) -> Estimate:
    """Estimates the AUC of what similarity leaves of a score.

    Within each target the score is regressed on similarity with an intercept of its own for merged sharers
    and for others (analysis of covariance), so that what merging adds does not pass for similarity; the slope
    times similarity is then taken off. Where similarity separates the two groups fully there is nobody
    alike to compare with, and the line would only be drawn into the void.

    Args:
        targets: What each target's model says.
        name: The score.
        level: Coverage of the interval.

    Returns:
        As for `linkage_auc`, over the targets where the groups overlap in similarity and at least 4 sharers
        are left to draw the line with; undefined where there is none.
    """
    asked = [one for one in targets if all(map(len, _similar(one)))]
    found = [value for one in asked if (value := _adjusted(one, name)) is not None]
    if not asked:
        return _mean_auc([], level)
    if not found:
        reason = "undefined: similarity separates merged from other sharers fully, for every target"
        return Estimate(None, None, reason)
    estimate = _mean_auc(found, level)
    missing = len(asked) - len(found)
    note = f"{missing} of {len(asked)} targets left out: similarity separates merged from others fully"
    notes = [estimate.reason, note if missing else ""]
    return Estimate(estimate.value, estimate.interval, "; ".join(filter(None, notes)))


def learnt(deployed: Sequence[TargetGains], without: Sequence[TargetGains], level: float = 0.95) -> Estimate:
    """Estimates how much more of the trained records a sharer's own module tells than the merge without it.

    A merge made again without the sharer resembles the sharer's trained records as the deployed one does,
    because both were selected for the same target; what it lacks is the module.

    Args:
        deployed: What each target's deployed model says.
        without: What the merges made again without each merged sharer say of that sharer, target by target.
        level: Coverage of the interval.

    Returns:
        The difference score in the deployed model less that in the merge without, in nats per record: the
        mean over a sharer's targets first, then over sharers, with a t interval over sharers from 6. Above
        zero the module is in it.
    """
    gaps: dict[str, list[float]] = defaultdict(list)
    for there, gone in zip(deployed, without, strict=True):
        for user, sharer in gone.sharers.items():
            before, after = sharer.score("difference"), there.sharers[user].score("difference")
            if there.sharers[user].group == "merged" and before is not None and after is not None:
                gaps[user].append(after - before)
    means = np.array([np.mean(several) for several in gaps.values()], dtype=np.float64)
    return mean_interval(means, level, unit="merged sharers")


def mean_gain(
    targets: Sequence[TargetGains], name: Score, pick: Callable[[SharerGains], bool], level: float = 0.95
) -> Estimate:
    """Estimates a mean score of some sharers.

    Args:
        targets: What each target's model says.
        name: The score.
        pick: Which sharers.
        level: Coverage of the interval.

    Returns:
        The mean over a target's sharers, then over targets, in nats per record, with a t interval over
        targets from 6, for these sharers as in `linkage_auc`.
    """
    means = []
    for one in targets:
        values = [sharer.score(name) for sharer in one.sharers.values() if pick(sharer)]
        known = [value for value in values if value is not None]
        means += [float(np.mean(known))] if known else []
    return _over_targets(means, level)


def _over_targets(values: Sequence[float], level: float) -> Estimate:
    found = mean_interval(np.array(values, dtype=np.float64), level, unit="targets")
    if (interval := found.interval) is not None:
        how = f"{interval.how}, these sharers"
        return Estimate(found.value, Interval(interval.low, interval.high, level, how), found.reason)
    return found


def _mean_auc(values: Sequence[float], level: float) -> Estimate:
    if not values:
        reason = "undefined: no target has both merged and other sharers with such records"
        return Estimate(None, None, reason)
    found = _over_targets(values, level)
    if (interval := found.interval) is None:
        return found
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    return Estimate(found.value, Interval(low, high, level, interval.how), found.reason)


def _similar(target: TargetGains) -> tuple[FloatArray, FloatArray]:
    return target.similarities("merged"), target.similarities("others")


def _adjusted(target: TargetGains, name: Score) -> float | None:
    """The AUC of a target's scores less what similarity explains; None where nothing can be adjusted."""
    sharers = [one for one in target.sharers.values() if one.group != "turned"]
    known = [(one, value) for one in sharers if (value := one.score(name)) is not None]
    scores = np.array([value for _, value in known])
    similarity = np.array([one.similarity for one, _ in known])
    merged = np.array([one.group == "merged" for one, _ in known], dtype=np.bool_)
    if not merged.any() or merged.all() or len(known) < 4:
        return None
    if auc(similarity[merged], similarity[~merged]) in (0.0, 1.0):
        return None
    centred, spread = scores.copy(), similarity.copy()
    for side in (merged, ~merged):
        centred[side] -= scores[side].mean()
        spread[side] -= similarity[side].mean()
    squares = float(spread @ spread)
    slope = float(spread @ centred) / squares if squares > 0 else 0.0
    # Equal but for rounding is a tie.
    left = np.round(scores - slope * similarity, 9)
    return auc(left[merged], left[~merged])
