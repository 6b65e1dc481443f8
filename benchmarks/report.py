"""Processor time of `prime-audit check` and `prime-audit report` on a finished run.

    python benchmarks/report.py reports/quickstart --baseline reports/baselines/quickstart.json --json

Each command is started five times as a user starts it; the median of user and system time together is given,
so that other work on the machine counts for little.

- ``check_seconds``: at most 3
- ``report_seconds``: at most 4
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

LIMITS = {"check": 3.0, "report": 4.0}
TIMES = 5


def seconds(command: list[str]) -> float:
    """Run a command once and return its user and system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "prime_audit", *command], capture_output=True, check=False)  # noqa: S603 - our own command line
    if done.returncode not in (0, 3):
        sys.exit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure both commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--rules", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rules = [] if asked.rules is None else ["--rules", str(asked.rules)]
    commands = {
        "check": ["check", str(asked.run), "--baseline", str(asked.baseline), *rules],
        "report": ["report", str(asked.run)],
    }
    found = {
        name: statistics.median(seconds(command) for _ in range(TIMES)) for name, command in commands.items()
    }
    if asked.json:
        print(json.dumps({f"{name}_seconds": round(value, 2) for name, value in found.items()}))
    else:
        for name, value in found.items():
            print(f"{name}: {value:.2f} s (limit {LIMITS[name]:.0f} s)")
    sys.exit(any(found[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
