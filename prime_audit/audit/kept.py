"""The scores of single records that a run keeps, so that a later one can be compared record by record."""

from collections.abc import Mapping, Sequence

from prime_audit.audit.membership import why_undefined
from prime_audit.audit.panel import Flips, Panel
from prime_audit.audit.verdict import TestKey
from prime_audit.results import Scores, ScoreSet, UserRecords, UserRows, record_name


def kept_scores(
    panels: Mapping[TestKey, Panel], records: Mapping[str, Sequence[str]], flips: Flips
) -> Scores:
    """Collects what every attack said of every record of the methods.

    Args:
        panels: By subject, method and attack; those without a figure are left out.
        records: Ids of every user's audited records.
        flips: Their coin flips.

    Returns:
        The scores; records go by digests of their ids.
    """
    sets: list[ScoreSet] = []
    named: set[str] = set()
    for (subject, method, attack), panel in panels.items():
        if why_undefined(panel) or not panel.places:
            continue
        users = []
        for user, places in zip(panel.users, panel.places, strict=True):
            rows = []
            for scores in user.scores:
                row: list[float | None] = [None] * len(flips[user.user])
                for place, score in zip(places.tolist(), scores.tolist(), strict=True):
                    row[place] = score
                rows.append(tuple(row))
            users.append(UserRows(user=user.user, scores=tuple(rows)))
        named |= {user.user for user in panel.users}
        fields = {"method": method, "attack": attack, "subject": subject, "users": tuple(users)}
        sets.append(ScoreSet.model_validate(fields))
    listed = {
        user: UserRecords(
            records=tuple(record_name(user, record) for record in records[user]),
            member=tuple(flips[user].tolist()),
        )
        for user in records
        if user in named
    }
    return Scores(users=listed, sets=tuple(sets))
