"""The errors that a user is meant to read: what happened, where, and what to do about it."""

from typing import ClassVar


class PrimeAuditError(Exception):
    """Base of every expected failure; the command line prints it and leaves with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the hint.

        Args:
            message: What happened, where and why. It names ids, files and positions, never user text.
            hint: What the reader can do about it; may be empty.
        """
        super().__init__(message)
        self.hint = hint


class ConfigError(PrimeAuditError):
    """A study, a task file or an option is wrong."""

    exit_code: ClassVar[int] = 2


class DataError(PrimeAuditError):
    """Users, records or another input file are missing or broken."""

    exit_code: ClassVar[int] = 2


class ModelError(PrimeAuditError):
    """A base model or a module cannot be used."""

    exit_code: ClassVar[int] = 2


class OutputError(PrimeAuditError):
    """The place where results should go cannot be written."""

    exit_code: ClassVar[int] = 2


class NoSpaceError(OutputError):
    """The disk is full: nothing is wrong with the command, and it continues once there is room."""

    exit_code: ClassVar[int] = 1


class NoMemoryError(PrimeAuditError):
    """Memory is too small: nothing is wrong with the command, and a study continues once there is more."""


class GateFailure(PrimeAuditError):
    """The run is complete and breaks a rule of the gate."""

    exit_code: ClassVar[int] = 3


class IncompleteError(PrimeAuditError):
    """The run is incomplete, its design is violated, or it cannot be compared."""

    exit_code: ClassVar[int] = 4
