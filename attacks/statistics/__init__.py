"""Statistics of membership attacks: AUC, rates, intervals and the randomisation test."""

from attacks.statistics.auc import auc, delong_placements, delong_variance, mid_ranks, same_ranks
from attacks.statistics.bootstrap import bootstrap_interval
from attacks.statistics.correlation import rank_correlation, standardised_gap
from attacks.statistics.dose import DoseResponse, UserDoses, dose_response
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.intervals import (
    mean_interval,
    paired_difference,
    sharers_interval,
    user_auc,
    within_user_auc,
)
from attacks.statistics.matched import MatchedRates, chance_p, matched_rates, success_rate
from attacks.statistics.newcombe import newcombe_limits
from attacks.statistics.paired import difference_p, paired_auc_difference, sign_flip
from attacks.statistics.power import (
    clopper_pearson,
    detectable_auc,
    leakage_retained,
    null_deviation,
    records_needed,
)
from attacks.statistics.randomisation import TestResult, max_t
from attacks.statistics.rates import hull_auc, nonmembers_needed, roc, tpr_at_fpr, tpr_interval
from attacks.statistics.skew_normal import FitTest, SkewNormal, fit_skew_normal, skew_normal_test
from attacks.statistics.users import UserScores

__all__ = [
    "DoseResponse",
    "Estimate",
    "FitTest",
    "Interval",
    "MatchedRates",
    "SkewNormal",
    "TestResult",
    "UserDoses",
    "UserScores",
    "auc",
    "bootstrap_interval",
    "chance_p",
    "clopper_pearson",
    "delong_placements",
    "delong_variance",
    "detectable_auc",
    "difference_p",
    "dose_response",
    "fit_skew_normal",
    "hull_auc",
    "leakage_retained",
    "matched_rates",
    "max_t",
    "mean_interval",
    "mid_ranks",
    "newcombe_limits",
    "nonmembers_needed",
    "null_deviation",
    "paired_auc_difference",
    "paired_difference",
    "rank_correlation",
    "records_needed",
    "roc",
    "same_ranks",
    "sharers_interval",
    "sign_flip",
    "skew_normal_test",
    "standardised_gap",
    "success_rate",
    "tpr_at_fpr",
    "tpr_interval",
    "user_auc",
    "within_user_auc",
]
