"""The attacks by name, and the decorator that adds one."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from attacks.altered import LOWERCASE, NEIGHBOURHOOD
from attacks.arrays import FloatArray
from attacks.base import Attack, ThreatModel
from attacks.camia import CAMIA
from attacks.direct import AMPLIFY, GENERATION, GRADIENT_NORM
from attacks.evidence import Evidence
from attacks.likelihood import LOSS, LOSS_SUM, MIN_K, MIN_K_PLUS_PLUS, ZLIB
from attacks.prefixes import CON_RECALL, RECALL
from attacks.reference import RATIO, REFERENCE, REFERENCE_BF16, REFERENCE_PRETRAINED, REFERENCE_ROUNDED
from attacks.shadow_attacks import BASE_MIA, BAVARIA, LIRA, LIRA_OFFLINE, RMIA, RMIA_OFFLINE
from attacks.surprise import DC_PDD, SURP
from attacks.windows import EZ, WBC

Signal = Callable[[Evidence], FloatArray]

PARTS: Final = (
    *("logp", "mean_logp", "std_logp", "is_argmax", "token", "compressed_bytes"),
    *("reference", "pretrained", "amplified", "prefixed", "prefixed_members", "repeated", "lowercase"),
    *("neighbours", "gradient_norm", "overlap", "shadows", "population", "corpus"),
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

_BUILT_IN: Final = (
    LOSS,
    LOSS_SUM,
    ZLIB,
    LOWERCASE,
    MIN_K,
    MIN_K_PLUS_PLUS,
    REFERENCE,
    REFERENCE_PRETRAINED,
    REFERENCE_ROUNDED,
    REFERENCE_BF16,
    RATIO,
    NEIGHBOURHOOD,
    RECALL,
    CON_RECALL,
    SURP,
    DC_PDD,
    CAMIA,
    WBC,
    EZ,
    LIRA,
    LIRA_OFFLINE,
    RMIA,
    RMIA_OFFLINE,
    BASE_MIA,
    BAVARIA,
    GRADIENT_NORM,
    GENERATION,
    AMPLIFY,
)
_attacks: dict[str, Attack] = {attack.id: attack for attack in _BUILT_IN}
ATTACKS: Mapping[str, Attack] = MappingProxyType(_attacks)


def attack(name: str) -> Attack:
    """Returns an attack by its name.

    Raises:
        KeyError: There is none of that name; the text lists those that there are.
    """
    try:
        return ATTACKS[name]
    except KeyError:
        raise KeyError(f"no attack is called {name!r}; there are: {', '.join(ATTACKS)}") from None


def register(
    name: str,
    *,
    needs: Sequence[str],
    threat_model: ThreatModel = "A2",
    source: str = "",
    version: int = 1,
    params: Mapping[str, float] | None = None,
    min_tokens: int = 1,
) -> Callable[[Signal], Signal]:
    """Adds a function to the attacks.

    Args:
        name: Its name.
        needs: The parts of the evidence that it reads, of `PARTS`.
        threat_model: The weakest adversary that can run it.
        source: Where it is described.
        version: Raise it whenever its scores change.
        params: Settings of the formula, for the report.
        min_tokens: Fewest scored tokens of a record that it can score.

    Returns:
        A decorator for a function from evidence about N records to ``(N,)`` scores, higher for members;
        the function itself is returned unchanged.

    Raises:
        ValueError: The name is taken or not usable, or a part is unknown.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for an attack: letters, digits, '.', '_', '+' and '-'")
    unknown = [part for part in needs if part not in PARTS]
    if unknown:
        raise ValueError(f"attack {name}: unknown evidence {', '.join(unknown)}; it is {', '.join(PARTS)}")

    def add(signal: Signal) -> Signal:
        if name in _attacks:
            both = f"{place_of(_attacks[name].signal)} and {place_of(signal)}"
            raise ValueError(f"two attacks are called '{name}': {both}")
        _attacks[name] = Attack(
            name, threat_model, tuple(needs), source, version, signal, dict(params or {}), min_tokens
        )
        return signal

    return add


def place_of(function: Callable[..., object]) -> str:
    """Returns the module and name of a function, for messages."""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
