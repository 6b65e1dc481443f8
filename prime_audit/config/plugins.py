"""Methods and attacks that other packages bring: declared by a decorator or found as entry points.

A package is imported only when a study names its method or attack, so an installed plug-in that nobody asks
for costs nothing and cannot change a run.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from pydantic import BaseModel

from prime_audit.errors import ConfigError

Group = Literal["prime_audit.methods", "prime_audit.attacks"]
METHODS: Group = "prime_audit.methods"
ATTACKS: Group = "prime_audit.attacks"

_settings: dict[str, type[BaseModel]] = {}
_attacks: set[str] = set()


def declare_method(kind: str, settings: type[BaseModel]) -> None:
    """Make the settings of a method known to study files.

    Args:
        kind: The method's kind.
        settings: What a study may set.

    Raises:
        ConfigError: Another method has this kind.
    """
    if _settings.setdefault(kind, settings) is not settings:
        raise ConfigError(f"two methods are called '{kind}'", hint="rename one of them")


def declare_attack(name: str) -> None:
    """Make the name of an attack known to study files.

    Args:
        name: The attack's id.

    Raises:
        ConfigError: Another attack has this id.
    """
    if name in _attacks:
        raise ConfigError(f"two attacks are called '{name}'", hint="rename one of them")
    _attacks.add(name)


def method_settings(kind: str) -> type[BaseModel] | None:
    """Return the settings of a method that is not built in, importing its package if need be.

    Args:
        kind: The kind that a study names.

    Returns:
        The settings' class, or None if no package brings such a method.

    Raises:
        ConfigError: Its package cannot be imported, or does not register it.
    """
    if kind not in _settings and _import(METHODS, kind) and kind not in _settings:
        raise ConfigError(f"the entry point '{kind}' registers no method of that name")
    return _settings.get(kind)


def knows_attack(name: str) -> bool:
    """Tell whether some package brings an attack of this name, importing it if need be.

    Args:
        name: The id that a study names.

    Returns:
        Whether there is one.

    Raises:
        ConfigError: Its package cannot be imported, or does not register it.
    """
    if name not in _attacks and _import(ATTACKS, name) and name not in _attacks:
        raise ConfigError(f"the entry point '{name}' registers no attack of that name")
    return name in _attacks


def refuse_shadowing(group: Group, name: str) -> None:
    """Refuse a package that brings something under a built-in name.

    Args:
        group: Which kind of entry point.
        name: A built-in name that a study uses.

    Raises:
        ConfigError: An installed package claims the name too.
    """
    found = _named(group, name)
    if found:
        raise ConfigError(
            f"'{name}' is built in, and {_who(found[0])} brings another one of that name",
            hint="rename the plug-in's entry point, or uninstall the package",
        )


def installed(group: Group) -> list[tuple[str, str]]:
    """Return what installed packages say they bring; none of them is imported.

    Args:
        group: Which kind of entry point.

    Returns:
        Name and package of each, sorted.
    """
    return sorted((entry.name, _who(entry)) for entry in entry_points(group=group))


def _import(group: Group, name: str) -> bool:
    found = _named(group, name)
    if len(found) > 1:
        who = ", ".join(_who(entry) for entry in found)
        raise ConfigError(f"several packages bring '{name}': {who}", hint="uninstall all but one")
    if not found:
        return False
    try:
        found[0].load()
    except ConfigError:
        raise
    except Exception as error:
        # A plug-in may raise anything while it is imported; the cause stays chained.
        raise ConfigError(
            f"'{name}' of {_who(found[0])} cannot be imported: {type(error).__name__}: {error}",
            hint="mend or uninstall that package",
        ) from error
    return True


def _named(group: Group, name: str) -> list[EntryPoint]:
    return list(entry_points(group=group, name=name))


def _who(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist is not None else f"entry point {entry.value}"
