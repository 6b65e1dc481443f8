"""What each package hands out is listed, exists, and is all that its `__init__` does."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PACKAGES, ROOT

FOLDERS = sorted(path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))
TOP = {
    *("__version__", "attack", "evaluate", "load_results", "load_study"),
    *("personalize", "register_attack", "register_method"),
}


def dotted(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT).parts)


@pytest.mark.parametrize("folder", FOLDERS, ids=dotted)
def test_every_listed_name_exists_once(folder: Path) -> None:
    package = importlib.import_module(dotted(folder))
    names = list(getattr(package, "__all__", []))
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(package, name)] == []


@pytest.mark.parametrize("folder", [f for f in FOLDERS if f.name != "prime_audit"], ids=dotted)
def test_an_init_defines_nothing(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
    assert body, "a package says in its docstring what it is for"
    assert isinstance(body[0], ast.Expr)
    imported: set[str] = set()
    for node in body[1:]:
        if isinstance(node, ast.ImportFrom):
            imported |= {alias.asname or alias.name for alias in node.names}
        else:
            assert isinstance(node, ast.Assign), f"line {node.lineno} is neither an import nor __all__"
            assert ast.unparse(node.targets[0]) == "__all__"
    assert imported == set(getattr(importlib.import_module(dotted(folder)), "__all__", []))


def test_the_names_of_the_library() -> None:
    import prime_audit

    assert set(prime_audit.__all__) == TOP
    assert set(dir(prime_audit)) == TOP
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = prime_audit.evalute


def test_importing_the_library_and_reading_results_loads_no_torch() -> None:
    code = "import sys, prime_audit; prime_audit.load_results, prime_audit.load_study; "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_judging_and_reporting_load_nothing_that_takes_long() -> None:
    code = "import sys, prime_audit.gate, prime_audit.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    slow = {"torch", "transformers", "sklearn", "pandas", "matplotlib.pyplot", "matplotlib.typing"}
    slow |= {f"scipy.{part}" for part in ("stats", "optimize", "integrate", "spatial", "linalg")}
    assert not slow & set(done.stdout.split())
