"""Units of work: what a study is cut into, and the keys that say when one need not be done again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prime_audit.core import digest_json

# Part of every key. Raised when a change makes a unit's output differ, so that old outputs are not reused;
# by stage, so that a change of the search does not train every module again.
CODE_VERSION = 5
CODE_VERSIONS: Mapping[str, int] = MappingProxyType({"adapt": 2, "train": 2, "deploy": 6})

Output = dict[str, Any]
Outputs = Mapping[str, Output]


@dataclass(frozen=True)
class Unit:
    """One step of a study.

    Attributes:
        name: Unique in the study, such as ``train/sharer-01`` or ``deploy/prime/target-03``.
        stage: The first part of the name; the report gives seconds per stage.
        key: Digest of code version, configuration part, data, seed and the keys of what it needs.
        run: Takes the outputs of the units before it, does the work and returns a small output that is
            JSON-serialisable and holds no user text.
        artefact: The file or folder it leaves; without it the unit counts as not done.
        in_store: Whether the artefact lies in the store that runs share.
        kept: What it leaves beside that where the study asks for it.
        needs: Names of the units that it follows.
    """

    name: str
    stage: str
    key: str
    run: Callable[[Outputs], Output]
    artefact: Path | None = None
    in_store: bool = False
    kept: Path | None = None
    needs: tuple[str, ...] = ()


def unit_key(name: str, part: Mapping[str, Any], needs: tuple[str, ...] = ()) -> str:
    """Returns the key of a unit.

    Args:
        name: The unit's name; it is also its seed path.
        part: What of configuration, data and seed its output depends on.
        needs: Keys of the units whose outputs it reads.

    Returns:
        64 hexadecimal digits.
    """
    code = CODE_VERSIONS.get(name.split("/")[0], CODE_VERSION)
    return digest_json({"code": code, "name": name, "part": dict(part), "needs": list(needs)})
