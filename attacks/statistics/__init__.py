"""Statistics of membership attacks: AUC, rates, intervals and the randomisation test."""

from attacks.statistics.auc import auc, delong_placements, delong_variance, mid_ranks, same_ranks
from attacks.statistics.correlation import rank_correlation, standardised_gap
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import (
    mean_interval,
    paired_difference,
    sharers_interval,
    user_auc,
    within_user_auc,
)
from attacks.statistics.newcombe import newcombe_limits
from attacks.statistics.randomisation import TestResult, max_t
from attacks.statistics.rates import nonmembers_needed, roc, tpr_at_fpr
from attacks.statistics.users import UserScores

__all__ = [
    "Estimate",
    "Interval",
    "TestResult",
    "UserScores",
    "auc",
    "delong_placements",
    "delong_variance",
    "max_t",
    "mean_interval",
    "mid_ranks",
    "newcombe_limits",
    "nonmembers_needed",
    "paired_difference",
    "rank_correlation",
    "roc",
    "same_ranks",
    "sharers_interval",
    "standardised_gap",
    "tpr_at_fpr",
    "user_auc",
    "within_user_auc",
]
