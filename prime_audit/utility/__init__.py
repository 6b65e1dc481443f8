"""Utility: how good a method's answers are, and how alike two models answer."""

from prime_audit.utility.lamp_scorer import lamp_scores, score_file
from prime_audit.utility.metrics import UtilityScores, agreement, score

__all__ = ["UtilityScores", "agreement", "lamp_scores", "score", "score_file"]
