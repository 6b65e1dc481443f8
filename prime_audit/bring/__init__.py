"""Audits what somebody brings: a model with two lists of records, or plain scores."""

from prime_audit.bring.run import attack
from prime_audit.bring.run_directory import DEFAULT_OUT

__all__ = ["DEFAULT_OUT", "attack"]
