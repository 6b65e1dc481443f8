"""Methods that personalise a model for one target."""

from prime_audit.personalize.augmenting import Fit, PersonalPrompt, shortened
from prime_audit.personalize.built_in import METHODS
from prime_audit.personalize.callable_package import personalize
from prime_audit.personalize.contract import carry_out, checked
from prime_audit.personalize.embedders import base_embedder, sentence_embedder, tfidf_embedder
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.prime import selection_size
from prime_audit.personalize.record import Deployed, Measured
from prime_audit.personalize.registry import register
from prime_audit.personalize.representatives import representatives
from prime_audit.personalize.search import check_budget
from prime_audit.personalize.search_log import SearchLog
from prime_audit.personalize.selection import history_embedding, nearest
from prime_audit.personalize.starts import most_starts
from prime_audit.personalize.trained import resolved, stopping_of
from prime_audit.personalize.types import (
    Calibration,
    Method,
    Outcome,
    Personalisation,
    SearchPoint,
    TargetContext,
    predict_with,
)

__all__ = [
    "METHODS",
    "Calibration",
    "Deployed",
    "Fit",
    "Measured",
    "Method",
    "Mixture",
    "Outcome",
    "PersonalPrompt",
    "Personalisation",
    "SearchLog",
    "SearchPoint",
    "TargetContext",
    "base_embedder",
    "carry_out",
    "check_budget",
    "checked",
    "history_embedding",
    "most_starts",
    "nearest",
    "personalize",
    "predict_with",
    "register",
    "representatives",
    "resolved",
    "selection_size",
    "sentence_embedder",
    "shortened",
    "stopping_of",
    "tfidf_embedder",
]
