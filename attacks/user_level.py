"""User inference: was anything of a user in the training data? (Kandpal et al., arXiv 2310.09266)."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

from attacks.arrays import FloatArray
from attacks.evidence import Evidence
from attacks.reference import base_scores

User = TypeVar("User", bound=Hashable)


def record_gains(evidence: Evidence) -> FloatArray:
    """Returns how much likelier each record is under the target model than under the base.

    Args:
        evidence: Evidence about N records with a reference.

    Returns:
        ``(N,)`` log p(record) - log p_base(record), in nats per record.

    Raises:
        ValueError: There is no reference.
    """
    return np.asarray(evidence.target.sum() - base_scores(evidence).sum())


def user_inference(evidence: Evidence, users: Sequence[User]) -> dict[User, float]:
    """Scores users by the mean over their records of the log-likelihood ratio against the base.

    The records need not have been trained on: fresh ones of the same user serve, since a model that has
    learnt the user's style finds them likelier too. Users are the unit of resampling; a user with more
    records has a less noisy score, so compare equal counts or report by count.

    Args:
        evidence: Evidence about N records with a reference.
        users: ``(N,)`` Whose record each is.

    Returns:
        Per user the mean of log p(record) - log p_base(record), in nats per record, in order of appearance.

    Raises:
        ValueError: There is no reference, or not one user per record.
    """
    if len(users) != len(evidence):
        raise ValueError(f"users: {len(users)} for {len(evidence)} records")
    ratios = record_gains(evidence)
    of_user: dict[User, list[float]] = {}
    for user, ratio in zip(users, ratios, strict=True):
        of_user.setdefault(user, []).append(float(ratio))
    return {user: float(np.mean(values)) for user, values in of_user.items()}
