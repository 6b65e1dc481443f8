"""Privacy attacks on token evidence, and their statistics; needs numpy, scipy and safetensors alone."""

from attacks.base import Attack, missing, usable
from attacks.evidence import Evidence, TokenScores
from attacks.likelihood import floored_share, min_k, min_k_plus_plus
from attacks.registry import ATTACKS, attack, register
from attacks.shadow_scores import ShadowScores
from attacks.surprise import without_surprise
from attacks.user_level import user_inference

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
    "user_inference",
    "without_surprise",
]
