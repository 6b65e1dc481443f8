"""Privacy attacks on token evidence, and their statistics; needs numpy, scipy and safetensors alone."""

from attacks.attributes import (
    AttributeInference,
    cosine_kernel,
    kernel_inference,
    vote_inference,
    weights_kernel,
)
from attacks.base import Attack, missing, usable
from attacks.black_box import (
    SharerGains,
    TargetGains,
    adjusted_auc,
    learnt,
    linkage_auc,
    mean_gain,
    similarity_auc,
)
from attacks.changes import Change
from attacks.detectors import Find, Scanner, normalised, phone_pattern
from attacks.evidence import Evidence, TokenScores
from attacks.exposure import (
    Exposure,
    ExposureDifference,
    exposure_differences,
    exposure_ranks,
    exposures,
    rank_exposure,
)
from attacks.extraction import (
    edit_distance,
    extraction_probability,
    longest_run,
    normalised_distance,
    prefix_and_suffix,
    queries_needed,
    sampler_logprobs,
    suffix_logprob,
    verbatim,
)
from attacks.likelihood import floored_share, min_k, min_k_plus_plus
from attacks.linkage import Linkage, Linked, link
from attacks.personal import (
    Candidates,
    Inference,
    PersonalExtraction,
    Reconstruction,
    inference,
    personal_extraction,
    reconstruction,
)
from attacks.prompt_leak import (
    LeakRule,
    PromptLeakage,
    PromptOverlap,
    longest_subsequence,
    prompt_leakage,
    prompt_overlap,
)
from attacks.registry import ATTACKS, attack, register
from attacks.shadow_scores import ShadowScores
from attacks.surprise import without_surprise
from attacks.unmerge import coalition, combined, cosine, release_difference, slices, without_own
from attacks.user_level import record_gains, user_inference

__all__ = [
    "ATTACKS",
    "Attack",
    "AttributeInference",
    "Candidates",
    "Change",
    "Evidence",
    "Exposure",
    "ExposureDifference",
    "Find",
    "Inference",
    "LeakRule",
    "Linkage",
    "Linked",
    "PersonalExtraction",
    "PromptLeakage",
    "PromptOverlap",
    "Reconstruction",
    "Scanner",
    "ShadowScores",
    "SharerGains",
    "TargetGains",
    "TokenScores",
    "adjusted_auc",
    "attack",
    "coalition",
    "combined",
    "cosine",
    "cosine_kernel",
    "edit_distance",
    "exposure_differences",
    "exposure_ranks",
    "exposures",
    "extraction_probability",
    "floored_share",
    "inference",
    "kernel_inference",
    "learnt",
    "link",
    "linkage_auc",
    "longest_run",
    "longest_subsequence",
    "mean_gain",
    "min_k",
    "min_k_plus_plus",
    "missing",
    "normalised",
    "normalised_distance",
    "personal_extraction",
    "phone_pattern",
    "prefix_and_suffix",
    "prompt_leakage",
    "prompt_overlap",
    "queries_needed",
    "rank_exposure",
    "reconstruction",
    "record_gains",
    "register",
    "release_difference",
    "sampler_logprobs",
    "similarity_auc",
    "slices",
    "suffix_logprob",
    "usable",
    "user_inference",
    "verbatim",
    "vote_inference",
    "weights_kernel",
    "without_own",
    "without_surprise",
]
