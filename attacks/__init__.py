"""Privacy attacks on token evidence, and their statistics; needs numpy, scipy and safetensors alone."""

from attacks.base import Attack, missing, usable
from attacks.changes import Change
from attacks.evidence import Evidence, TokenScores
from attacks.likelihood import floored_share, min_k, min_k_plus_plus
from attacks.linkage import Linkage, Linked, link
from attacks.registry import ATTACKS, attack, register
from attacks.shadow_scores import ShadowScores
from attacks.surprise import without_surprise
from attacks.unmerge import coalition, combined, cosine, release_difference, slices, without_own
from attacks.user_level import user_inference

__all__ = [
    "ATTACKS",
    "Attack",
    "Change",
    "Evidence",
    "Linkage",
    "Linked",
    "ShadowScores",
    "TokenScores",
    "attack",
    "coalition",
    "combined",
    "cosine",
    "floored_share",
    "link",
    "min_k",
    "min_k_plus_plus",
    "missing",
    "register",
    "release_difference",
    "slices",
    "usable",
    "user_inference",
    "without_own",
    "without_surprise",
]
