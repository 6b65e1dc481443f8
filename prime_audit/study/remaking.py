"""Which methods can be made again of other modules, and which one is where only one is."""

from prime_audit.config import MethodConfig, PrimeMethod, StudyConfig
from prime_audit.personalize import METHODS


def named_by(method: MethodConfig) -> str | None:
    """Returns the id of the method that a control is built from; None for any other method."""
    of: str | None = getattr(method, "of", None)
    return of


def rerun_method(config: StudyConfig) -> MethodConfig:
    """Returns the method that is made again: the first search, or else the first merging method.

    Args:
        config: A study with at least one method about sharers.
    """
    merging = [m for m in config.methods if METHODS[m.kind].subject == "sharer" and named_by(m) is None]
    return next((method for method in merging if isinstance(method, PrimeMethod)), merging[0])


def bound_to_records(method: MethodConfig) -> str:
    """Says why a method cannot be made again of shadows or swapped modules, or nothing.

    Args:
        method: A merging method.

    Returns:
        What it holds of the sharers' records beside their modules, in words.
    """
    if METHODS[method.kind].needs_gates:
        return "its gates were trained on the records of the audited modules"
    if getattr(method, "privacy", None) == "membership-gap":
        return "its privacy term reads who was a member of the audited modules"
    return ""
