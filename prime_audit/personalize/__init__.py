"""Methods that personalise a model for one target."""

from prime_audit.personalize.registry import METHODS
from prime_audit.personalize.selection import history_embedding, nearest
from prime_audit.personalize.types import (
    Method,
    Personalisation,
    SearchPoint,
    TargetContext,
    predict_rows,
)

__all__ = [
    "METHODS",
    "Method",
    "Personalisation",
    "SearchPoint",
    "TargetContext",
    "history_embedding",
    "nearest",
    "predict_rows",
]
