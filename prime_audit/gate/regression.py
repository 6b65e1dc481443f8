"""Sets a run's figures against a baseline's, record by record where both keep scores."""

from collections.abc import Mapping, Sequence

import numpy as np

from attacks.statistics import UserScores, within_user_auc
from prime_audit.gate.baseline import Baseline, Kept
from prime_audit.gate.difference import Difference, auc_difference, interval_difference, unit_difference
from prime_audit.gate.runs import Run
from prime_audit.gate.select import units_of
from prime_audit.results import Metric, UserRecords, UserRows

# Scores are written with ten digits; more than that is another run's file.
_ROUNDING = 1e-4


def compare_metric(run: Run, metric: Metric, baseline: Baseline) -> Difference | str:
    """Set one figure of a run against the baseline's.

    Args:
        run: The run, comparable with the baseline.
        metric: The figure; it has a value.
        baseline: The baseline.

    Returns:
        The difference, or why there is none.
    """
    kept = baseline.kept(metric)
    if not kept:
        return "the baseline does not hold it"
    return compare_kept(run, metric, kept, baseline.users)


def compare_kept(
    run: Run, metric: Metric, kept: Sequence[Kept], users: Mapping[str, UserRecords], *, folded: bool = True
) -> Difference | str:
    """Set one figure of a run against the same figure of earlier runs.

    Args:
        run: The run.
        metric: The figure; it has a value.
        kept: The figure in each earlier run.
        users: Records and coin flips of the earlier runs.
        folded: Whether an AUC below one half counts as its distance above it.

    Returns:
        The difference, or why there is none.
    """
    if kept[0].scores:
        return _by_record(run, metric, kept, users, folded)
    if kept[0].units:
        return _by_target(run, metric, kept)
    return _by_interval(metric, kept)


def user_scores(rows: Sequence[UserRows], users: Mapping[str, UserRecords]) -> list[UserScores]:
    """Turn kept scores into what the statistics read.

    Args:
        rows: Scores per user.
        users: Each user's records and coin flips.

    Returns:
        Scores per user, sorted by user; records that were too short are left out.

    Raises:
        ValueError: A record has a score under one model of the user and none under another.
    """
    found = []
    for entry in sorted(rows, key=lambda one: one.user):
        scores = np.array([[np.nan if s is None else s for s in row] for row in entry.scores], dtype=float)
        scored = np.isfinite(scores)
        if (scored != scored[0]).any():
            raise ValueError(f"user {entry.user}: a record has a score under some models only")
        member = np.array(users[entry.user].member, dtype=bool)
        found.append(UserScores(entry.user, member[scored[0]], scores[:, scored[0]]))
    return found


def _by_record(
    run: Run, metric: Metric, kept: Sequence[Kept], users: Mapping[str, UserRecords], folded: bool
) -> Difference | str:
    if run.scores is None:
        return "the run keeps no scores of its records, the baseline does"
    wanted = (metric.method, metric.attack, metric.subject)
    rows = [one.users for one in run.scores.sets if (one.method, one.attack, one.subject) == wanted]
    if not rows:
        return "the run keeps no scores of it, the baseline does"
    named, there = ({entry.user for entry in entries} for entries in (rows[0], kept[0].scores))
    if named != there:
        return "its scores are about other people than the baseline's"
    for user in sorted(named):
        if run.scores.users[user] != users[user]:
            return f"the records of {user} are not the baseline's"
    try:
        mine = user_scores(rows[0], run.scores.users)
        if not _belongs(mine, metric.value):
            return "evidence/scores.json does not give the value in results.json: one of them was changed"
        theirs = [user_scores(one.scores, users) for one in kept]
        if not all(_belongs(scores, one.value) for scores, one in zip(theirs, kept, strict=True)):
            return "the baseline's scores do not give its value: the file was changed"
        found = auc_difference(mine, theirs, folded=folded)
    except ValueError as error:
        return str(error)
    return found if found is not None else "too few records to compare"


def _belongs(users: Sequence[UserScores], value: float | None) -> bool:
    found = within_user_auc(users).value
    return found is not None and value is not None and abs(found - value) <= _ROUNDING


def _by_target(run: Run, metric: Metric, kept: Sequence[Kept]) -> Difference | str:
    mine = units_of(run.results, metric)
    if any(sorted(one.units) != sorted(mine) for one in kept):
        return "its targets are not the baseline's"
    names = sorted(mine)
    found = unit_difference(
        [mine[name] for name in names],
        [[one.units[name] for name in names] for one in kept],
        float(metric.value or 0.0),
        [one.value for one in kept],
    )
    return found if found is not None else f"{len(names)} targets are too few to compare"


def _by_interval(metric: Metric, kept: Sequence[Kept]) -> Difference | str:
    others = [(one.value, one.ci) for one in kept if one.ci is not None]
    if metric.value is None or metric.ci is None or len(others) < len(kept):
        return "there is no interval to judge on"
    return interval_difference(metric.value, metric.ci, others)
