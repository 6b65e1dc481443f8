"""The attacks by name."""

from collections.abc import Mapping
from types import MappingProxyType

from attacks.base import Attack
from attacks.likelihood import LOSS, MIN_K, MIN_K_PLUS_PLUS, ZLIB
from attacks.reference import REFERENCE

ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        "loss": LOSS,
        "zlib": ZLIB,
        "min-k": MIN_K,
        "min-k++": MIN_K_PLUS_PLUS,
        "reference": REFERENCE,
    }
)


def attack(name: str) -> Attack:
    """Returns an attack by its name.

    Raises:
        KeyError: There is none of that name; the text lists those that there are.
    """
    try:
        return ATTACKS[name]
    except KeyError:
        raise KeyError(f"no attack is called {name!r}; there are: {', '.join(ATTACKS)}") from None
