"""Utility: how good a method's answers are, and how alike two models answer."""

from prime_audit.utility.metrics import UtilityScores, agreement, score

__all__ = ["UtilityScores", "agreement", "score"]
