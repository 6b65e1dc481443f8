"""The rules that pass or fail a run."""

from prime_audit.gate.judge import judge, read_gate, write_gate
from prime_audit.gate.schema import Gate, Judgement, Rule

__all__ = ["Gate", "Judgement", "Rule", "judge", "read_gate", "write_gate"]
