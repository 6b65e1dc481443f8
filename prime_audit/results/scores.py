"""evidence/scores.json: what every attack said of every record, for a later run to be compared with."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prime_audit.core import digest_json, read_json, write_json
from prime_audit.results.io import plain, read_model
from prime_audit.results.schema import AttackId, Id, Subject

SCORES_FILE: Final = "scores.json"
_DIGEST_LENGTH = 16


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class UserRecords(_Frozen):
    """A user's audited records in the order of the history: digests of their ids, and the coin flips."""

    records: tuple[str, ...] = Field(min_length=1)
    member: tuple[bool, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.member) != len(self.records):
            raise ValueError("a user needs one coin flip per record")
        if len(set(self.records)) != len(self.records):
            raise ValueError("a user has a record twice")
        return self


class UserRows(_Frozen):
    """One user's scores, a row per model that concerns the user; None where a record was too short."""

    user: Id
    scores: tuple[tuple[float | None, ...], ...] = Field(min_length=1)


class ScoreSet(_Frozen):
    """One attack on one method; higher = more like a member."""

    method: Id
    attack: AttackId
    subject: Subject
    users: tuple[UserRows, ...]


class Scores(_Frozen):
    """Scores of the attacks on all methods, without text: records go by digests of their ids."""

    schema_version: Literal[1] = 1
    users: dict[str, UserRecords]
    sets: tuple[ScoreSet, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [(one.method, one.attack, one.subject) for one in self.sets]
        if len(set(keys)) != len(keys):
            raise ValueError("two sets of scores have the same method, attack and subject")
        for one in self.sets:
            for rows in one.users:
                if rows.user not in self.users:
                    raise ValueError(f"user '{rows.user}' has scores and no records")
                count = len(self.users[rows.user].records)
                if any(len(row) != count for row in rows.scores):
                    raise ValueError(f"user '{rows.user}' needs one score per record")
        return self


def record_name(user: str, record: str) -> str:
    """Return how a record is named where its id should not be read.

    Args:
        user: The user's id.
        record: The record's id.

    Returns:
        16 hexadecimal digits.
    """
    return digest_json([user, record])[:_DIGEST_LENGTH]


def write_scores(path: Path, scores: Scores) -> None:
    """Write the scores; equal scores give equal bytes.

    Args:
        path: Where the file goes.
        scores: The scores.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, plain(scores))


def read_scores(path: Path) -> Scores:
    """Read and check the scores of a run.

    Args:
        path: The file.

    Returns:
        The scores.

    Raises:
        DataError: The file is missing, broken, or of another version.
    """
    return read_model(Scores, read_json(path), path)
