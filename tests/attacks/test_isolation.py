import subprocess
import sys

import attacks
from attacks import statistics

HEAVY = ("torch", "transformers", "peft", "prime_audit", "sklearn", "matplotlib")


def test_the_package_needs_no_model_library_and_nothing_of_the_tool() -> None:
    code = f"import sys, attacks, attacks.statistics; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_and_is_documented() -> None:
    for module in (attacks, statistics):
        for name in module.__all__:
            found = getattr(module, name)
            assert name == "ATTACKS" or found.__doc__, name
        assert sorted(module.__all__) == list(module.__all__)
