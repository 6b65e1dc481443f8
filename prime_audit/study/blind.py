"""The blind control of a study: the texts of its audited records, and no model."""

from collections.abc import Mapping, Sequence

import numpy as np

from attacks.statistics import UserScores
from prime_audit.audit import Panel
from prime_audit.audit.blind import blind_scores, date_numbers
from prime_audit.audit.paper import SAME_RECORDS
from prime_audit.study.workbench import Workbench


def blind_panel(bench: Workbench, users: Sequence[str]) -> Panel | str:
    """Scores users' audited records by their texts, within each user.

    Args:
        bench: The workbench.
        users: Whose records are scored.

    Returns:
        The panel; or why there is none.
    """
    texts, dates, owners = _records(bench, users)
    member = np.concatenate([bench.member(user) for user in users])
    seed = bench.seeds.integer("blind") % 2**32
    found = blind_scores(texts, member, owners, date_numbers(dates), seed)
    if found.scores is None:
        return found.reason
    places = np.array(owners)
    panel_users = tuple(
        UserScores(user, member[places == user], found.scores[places == user][None]) for user in sorted(users)
    )
    return Panel(panel_users, len(texts), len(texts), oriented=False, copies_loss=False)


def paper_blind_panel(
    bench: Workbench, selected: Mapping[str, Sequence[str]], pool: Sequence[str]
) -> Panel | str:
    """Scores the pool's records by their texts, once per target: is the record's owner merged for it?

    Args:
        bench: The workbench.
        selected: By target the sharers that its merge is made of.
        pool: The sharers whose records are scored, in the order of the evidence.

    Returns:
        The panel, its users being the targets; or why there is none.
    """
    texts, dates, owners = _records(bench, pool)
    numbers, seed = date_numbers(dates), bench.seeds.integer("blind") % 2**32
    users = []
    for target, chosen in selected.items():
        member = np.isin(np.array(owners), list(chosen))
        found = blind_scores(texts, member, owners, numbers, seed)
        if found.scores is None:
            return f"{found.reason} (target {target})"
        users.append(UserScores(target, member, found.scores[None]))
    total = len(texts)
    return Panel(tuple(users), total, total, oriented=False, copies_loss=False, no_interval=SAME_RECORDS)


def _records(bench: Workbench, users: Sequence[str]) -> tuple[list[str], list[str | None], list[str]]:
    """The texts, dates and owners of the audited records."""
    items = [(item, user) for user in users for item in bench.holdout.audited(bench.dataset.user(user))]
    texts = [example.prompt + example.completion for example in (bench.example(item) for item, _ in items)]
    return texts, [item.date for item, _ in items], [user for _, user in items]
