"""A room imports only rooms to its left, so that the project can be read in one direction."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import PACKAGES, ROOT

ORDER = (
    "errors",
    "config",
    "core",
    "data",
    "utility",
    "bundled",
    "models",
    "modules",
    "personalize",
    "audit",
    "study",
)
# Rooms beside the line, with everything that they may import.
BESIDE = {
    "results": {"errors", "core"},
    "gate": {"errors", "core", "results"},
    "report": {"errors", "core", "results", "gate"},
}
# Stands beside `study`: neither may import the other.
LAST = {"bring": set(ORDER) - {"study"}}
MAY_USE_RESULTS = {"audit", "study", "bring"}
MAY_USE_ATTACKS = {*ORDER[ORDER.index("models") :], *LAST, "gate"}
FREE = {"api", "cli", "__init__", "__main__"}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def room(module: str) -> str:
    """The room of `prime_audit.models.scoring` is `models`; a bare `prime_audit` is `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def own_room(path: Path) -> str:
    return room(".".join(path.relative_to(ROOT).with_suffix("").parts))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno}: a relative import hides its room"
            if node.module == "prime_audit":
                yield from (f"prime_audit.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def allowed(name: str) -> set[str]:
    if name in BESIDE:
        return BESIDE[name] | {name}
    left = LAST[name] | {name} if name in LAST else set(ORDER[: ORDER.index(name) + 1])
    return left | {"results"} if name in MAY_USE_RESULTS else left


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_rooms_to_its_left(path: Path) -> None:
    inner = [module for module in imports(path) if module.split(".")[0] in PACKAGES]
    if path.is_relative_to(ROOT / "attacks"):
        assert all(module.startswith("attacks") for module in inner)
        return
    name = own_room(path)
    if name in FREE:
        return
    wrong = [m for m in inner if m.startswith("prime_audit") and room(m) not in allowed(name)]
    assert not wrong, f"{name} may not import {wrong}"
    if any(module.split(".")[0] == "attacks" for module in inner):
        assert name in MAY_USE_ATTACKS


def test_every_room_has_its_place() -> None:
    rooms = {own_room(path) for path in SOURCES if path.is_relative_to(ROOT / "prime_audit")}
    assert rooms <= {*ORDER, *LAST, *BESIDE, *FREE}
