"""The blind control: what the texts alone give away about membership, without any model.

Lists of members and non-members that were not drawn by a coin often differ in topic, length or date, and an
attack that merely reads the text then looks like a leak (arXiv 2406.16201; arXiv 2406.17975).
"""

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from attacks import Attack, Evidence
from attacks.statistics import TestResult
from prime_audit.results import AttackInfo

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS: Final = 5
# Fewest records of each kind, and fewest users for folds that keep a user together.
FEWEST_RECORDS: Final = FOLDS
FEWEST_USERS: Final = 3
# Inverse of the regularisation: a few words that tell the lists apart must count among many that do not.
STRENGTH: Final = 10.0
# Each of two records has a say in the score of the other, so every pair counts twice: without any difference
# the AUC of out-of-fold scores varies sqrt(2) times as much as the AUC of scores that read no membership.
SPREAD: Final = math.sqrt(2)


def _no_signal(evidence: Evidence) -> NDArray[np.float64]:
    raise ValueError("the blind control reads texts; it scores no evidence of a model")


BLIND: Final = Attack(
    "blind", "A3", (), "arXiv:2406.16201", 1, _no_signal, {"folds": FOLDS, "C": STRENGTH}, kind="control"
)


@dataclass(frozen=True, eq=False)
class Blind:
    """What the texts alone say.

    Attributes:
        scores: ``(N,)`` Out-of-fold log-odds of membership, higher = more like a member; None where no fold
            can be made.
        reason: Why there are no scores, or how the folds were made.
    """

    scores: NDArray[np.float64] | None
    reason: str


def blind_info() -> AttackInfo:
    """Returns the control as the results list it among the attacks."""
    return AttackInfo(
        id=BLIND.id,
        kind=BLIND.kind,
        threat_model="none: it sees no model",
        needs=("text",),
        source=BLIND.source,
        version=BLIND.version,
        params=dict(BLIND.params),
    )


def blind_result(result: TestResult) -> TestResult:
    """Corrects a test of the blind control, whose scores have read the membership of other records.

    Args:
        result: What the permutation test says, which takes the scores as given.

    Returns:
        The same with the wider null distribution (see `SPREAD`) and two-sided p-values that follow from it;
        they are never smaller than before.
    """
    spread = SPREAD * result.null_sd
    p = 2 * float(ndtr(-abs(result.auc - 0.5) / spread)) if spread else 1.0
    return replace(
        result,
        p=max(result.p, p),
        p_adjusted=max(result.p_adjusted, p),
        null_sd=spread,
        detectable=0.5 + SPREAD * (result.detectable - 0.5),
    )


def blind_scores(
    texts: Sequence[str],
    member: NDArray[np.bool_],
    users: Sequence[str],
    dates: NDArray[np.float64] | None,
    seed: int,
) -> Blind:
    """Scores each record by a classifier that was trained on other people's records, or on other records.

    Words (TF-IDF), length and date go into a logistic regression. No fold separates two records with the
    same words. With at least 3 users no fold separates a user's records either; where shared words tie the
    users together, or there are fewer, folds are stratified by membership alone.

    Args:
        texts: ``N`` texts.
        member: ``(N,)`` True where the record was trained on.
        users: Whose record it is, ``N`` ids.
        dates: ``(N,)`` dates as numbers (see `date_numbers`), NaN where unknown; None without dates.
        seed: Shuffles records between folds.

    Returns:
        The scores, equal for equal arguments.

    Raises:
        ValueError: The arguments differ in length.
    """
    if not len(texts) == len(member) == len(users) == (len(member) if dates is None else len(dates)):
        raise ValueError("texts, membership, users and dates must be about the same records")
    fewest = min(int(member.sum()), int((~member).sum()))
    if fewest < FEWEST_RECORDS:
        return Blind(
            None, f"the blind control needs {FEWEST_RECORDS} members and {FEWEST_RECORDS} non-members"
        )
    words = [_words(text) for text in texts]
    if not any(words):
        return Blind(None, "the blind control needs words, and no text holds one")
    groups, how = _groups(words, users)
    folds = min(FOLDS, *(len(set(groups[side].tolist())) for side in (member, ~member)))
    if folds < 2:
        return Blind(None, f"the blind control needs two folds, and {how} gives one")
    return _out_of_fold(_features(texts, words, dates), member, groups, folds, seed, how)


def date_numbers(dates: Sequence[str | None]) -> NDArray[np.float64] | None:
    """Turns dates into days.

    Args:
        dates: ISO 8601 dates or times, or years; anything else counts as unknown.

    Returns:
        ``(N,)`` days, NaN where unknown; None if none is known.
    """
    days = np.array([_day(date) for date in dates], dtype=np.float64)
    return days if np.isfinite(days).any() else None


def _day(date: str | None) -> float:
    text = (date or "").strip()
    try:
        # A year is its first day.
        return datetime.fromisoformat(f"{text}-01-01" if len(text) == 4 else text).toordinal()
    except ValueError:
        return float("nan")


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


def _groups(words: Sequence[tuple[str, ...]], users: Sequence[str]) -> tuple[NDArray[np.int64], str]:
    """Numbers the groups that folds must keep together, and says what they are."""
    if len(set(users)) >= FEWEST_USERS:
        people = _tied(words, users)
        if len(set(people.tolist())) >= FEWEST_USERS:
            return people, "folds by user"
    return _numbers(words), "folds by record"


def _tied(words: Sequence[tuple[str, ...]], users: Sequence[str]) -> NDArray[np.int64]:
    """Joins the users who hold a record with the same words."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    owner, text = _numbers(users), _numbers(words)
    people = int(owner.max()) + 1
    size = people + int(text.max()) + 1
    edges = coo_matrix((np.ones(len(owner)), (owner, people + text)), shape=(size, size))
    labels = connected_components(edges, directed=False)[1]
    return labels[owner].astype(np.int64)


def _numbers(values: Sequence[Hashable]) -> NDArray[np.int64]:
    seen = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return np.array([seen[value] for value in values], dtype=np.int64)


def _features(
    texts: Sequence[str], words: Sequence[tuple[str, ...]], dates: NDArray[np.float64] | None
) -> "csr_matrix":
    """Bag of words and standardised length and date; membership has no part in it."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    bag = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(words)
    columns = [[len(text) for text in texts], [len(found) for found in words]]
    numbers = np.log1p(np.array(columns, dtype=np.float64)).T
    if dates is not None:
        known = np.isfinite(dates)
        filled = np.where(known, dates, np.mean(dates[known]) if known.any() else 0.0)
        numbers = np.column_stack([numbers, filled, known])
    return csr_matrix(hstack([bag, csr_matrix(StandardScaler().fit_transform(numbers))]))


def _out_of_fold(
    features: "csr_matrix",
    member: NDArray[np.bool_],
    groups: NDArray[np.int64],
    folds: int,
    seed: int,
    how: str,
) -> Blind:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.zeros(len(member))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(features, member, groups):
        if len(set(member[train].tolist())) < 2:
            return Blind(None, f"the blind control cannot learn: with {how} a part holds one kind of record")
        # Balanced: a fold with more members than the rest must not shift the scores of its own records.
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", solver="liblinear", max_iter=1000)
        scores[test] = model.fit(features[train], member[train]).decision_function(features[test])
    return Blind(scores, how)
