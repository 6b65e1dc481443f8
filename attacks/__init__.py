"""Privacy attacks on token evidence, and their statistics; needs numpy, scipy and safetensors alone."""

from attacks.base import Attack, missing, usable
from attacks.evidence import Evidence, TokenScores
from attacks.likelihood import floored_share, min_k, min_k_plus_plus
from attacks.registry import ATTACKS, attack, register
from attacks.shadow_scores import ShadowScores

__all__ = [
    "ATTACKS",
    "Attack",
    "Evidence",
    "ShadowScores",
    "TokenScores",
    "attack",
    "floored_share",
    "min_k",
    "min_k_plus_plus",
    "missing",
    "register",
    "usable",
]
