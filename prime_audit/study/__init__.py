"""Plans and runs a study."""

from prime_audit.study.plan import describe_plan
from prime_audit.study.progress import Progress
from prime_audit.study.runner import run_study

__all__ = ["Progress", "describe_plan", "run_study"]
