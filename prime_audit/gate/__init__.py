"""The rules that pass or fail a run."""

from prime_audit.gate.baseline import Baseline, make_baseline, read_baseline, write_baseline
from prime_audit.gate.comparison import Comparison, Row, compare_runs
from prime_audit.gate.judge import judge, read_gate, write_gate
from prime_audit.gate.limits import records_short
from prime_audit.gate.runs import Identity, Run, load_run
from prime_audit.gate.schema import Against, Gate, Judgement, Rule

__all__ = [
    "Against",
    "Baseline",
    "Comparison",
    "Gate",
    "Identity",
    "Judgement",
    "Row",
    "Rule",
    "Run",
    "compare_runs",
    "judge",
    "load_run",
    "make_baseline",
    "read_baseline",
    "read_gate",
    "records_short",
    "write_baseline",
    "write_gate",
]
