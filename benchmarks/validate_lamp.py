"""Time and memory of checking a long file of LaMP's questions.

    python benchmarks/validate_lamp.py --json              # 100 MB
    python benchmarks/validate_lamp.py --megabytes 1000    # 1 GB

Generates ratings with histories of 50 to 150 reviews of random words, each user with one question, and checks
them as `prime-audit data validate` does. The peak is that of the process that checks.

- ``peak_mb``: at most 1500, whatever the size of the file
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1500
ROOT = Path(__file__).resolve().parent.parent
SEED = 7
CHECK = """\
import resource, sys
from pathlib import Path
from prime_audit.config import DataConfig
from prime_audit.data import TASKS, check_dataset
counts = check_dataset(DataConfig(path=sys.argv[1]), TASKS["lamp-3"])
scale = 1 if sys.platform == "darwin" else 1024
print(counts.queries, counts.items, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
"""


def write(folder: Path, size: int) -> None:
    """Write questions of about `size` bytes, and their golds."""
    rng = random.Random(SEED)  # noqa: S311 - texts for a measurement
    letters = "abcdefghijklmnopqrstuvwxyzé"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(5000)]

    def text(count: int) -> str:
        return " ".join(rng.choices(words, k=count))

    golds: list[dict[str, str]] = []
    with (folder / "dev_questions.json").open("w", encoding="utf-8") as stream:
        while stream.tell() < size:
            number = len(golds)
            profile = [
                {"id": f"{number}-{i}", "text": text(rng.randint(20, 150)), "score": str(rng.randint(1, 5))}
                for i in range(rng.randint(50, 150))
            ]
            question = {"id": str(number), "input": f"review: {text(60)}", "profile": profile}
            stream.write(", " if golds else "[")
            stream.write(json.dumps({**question, "user_id": str(number)}, ensure_ascii=False))
            golds.append({"id": str(number), "output": str(rng.randint(1, 5))})
        stream.write("]")
    outputs = {"task": "LaMP_3", "golds": golds}
    (folder / "dev_outputs.json").write_text(json.dumps(outputs), encoding="utf-8")


def main() -> None:
    """Generate, check, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.megabytes * 1_000_000)
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603 - this script's own code
            [sys.executable, "-c", CHECK, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - started
        size = (folder / "dev_questions.json").stat().st_size
    questions, items, peak = map(int, done.stdout.split())
    found = {
        "megabytes": round(size / 1e6, 1),
        "questions": questions,
        "items": items,
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "limit_mb": LIMIT,
    }
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(", ".join(f"{key} {value}" for key, value in found.items()))
    sys.exit(0 if found["peak_mb"] <= LIMIT else 1)


if __name__ == "__main__":
    main()
