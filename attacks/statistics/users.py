"""One user's scores, the unit that all within-user statistics are built from."""

from dataclasses import dataclass

import numpy as np

from attacks.arrays import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class UserScores:
    """Scores of one user's records under every deployed model that concerns the user.

    Attributes:
        user: The user's id.
        member: ``(n,)`` True where the record was trained on.
        scores: ``(k, n)`` Scores, one row per model (the user's targets); higher = more like a member.

    Raises:
        ValueError: The arrays do not fit together or a score is not finite.
    """

    user: str
    member: BoolArray
    scores: FloatArray

    def __post_init__(self) -> None:
        """Refuses arrays that do not belong together."""
        if self.member.ndim != 1 or self.member.dtype != np.bool_:
            raise ValueError(f"user {self.user}: membership must be one axis of bool")
        if self.scores.ndim != 2 or len(self.scores) < 1 or self.scores.shape[1] != len(self.member):
            raise ValueError(
                f"user {self.user}: scores of shape {self.scores.shape} for {len(self.member)} records"
            )
        if not np.isfinite(self.scores).all():
            raise ValueError(f"user {self.user}: a score is not finite")

    @property
    def members(self) -> int:
        """Number of member records."""
        return int(self.member.sum())

    @property
    def nonmembers(self) -> int:
        """Number of non-member records."""
        return len(self.member) - self.members

    @property
    def comparable(self) -> bool:
        """True if there is a member and a non-member to compare."""
        return 0 < self.members < len(self.member)

    @property
    def tied(self) -> bool:
        """True if all records score alike under every model."""
        return bool((self.scores == self.scores[:, :1]).all())
