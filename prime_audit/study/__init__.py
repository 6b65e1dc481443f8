"""Plans and runs a study."""

from prime_audit.study.plan import describe_plan, describe_room
from prime_audit.study.progress import Progress
from prime_audit.study.runner import run_study

__all__ = ["Progress", "describe_plan", "describe_room", "run_study"]
