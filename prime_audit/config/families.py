"""Studies that differ in little, kept in one file: each member is named layers put over one another."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from prime_audit.config.strict_yaml import parse_yaml
from prime_audit.errors import ConfigError


def members(folder: Path) -> dict[str, Path]:
    """List the studies in a folder of families.

    Args:
        folder: Holds YAML files with the keys `layers` and `members`; it need not exist.

    Returns:
        The file of each study by the study's name.
    """
    return {name: path for path in sorted(folder.glob("*.yaml")) for name in _sections(path, "members")}


def read_member(path: Path, name: str) -> dict[str, object]:
    """Read one study of a family.

    Args:
        path: The family's file.
        name: The study's name, which becomes its key `name`.

    Returns:
        The study as a file of its own would hold it.

    Raises:
        ConfigError: The file is no family, or names a layer that it does not hold.
    """
    layers, stack = _sections(path, "layers"), _sections(path, "members").get(name)
    whole: dict[str, object] = {"name": name}
    for part in stack if isinstance(stack, list) else []:
        layer = layers.get(part) if isinstance(part, str) else part
        if not isinstance(layer, dict):
            raise ConfigError(f"{path}: {name}: there is no layer '{part}'")
        whole = _over(whole, layer)
    return whole


def _sections(path: Path, key: str) -> Mapping[str, object]:
    content = _content(path)
    section = content.get(key) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: a family of studies has the sections 'layers' and 'members'")
    return section


@lru_cache
def _content(path: Path) -> object:
    """The file comes with the package and does not change; every study that is loaded asks for its names."""
    return parse_yaml(path.read_text(encoding="utf-8"), str(path))


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Sections add up key by key; anything else is replaced."""
    whole = dict(below)
    for key, value in above.items():
        under = whole.get(key)
        whole[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return whole
