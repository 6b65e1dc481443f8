"""Statistics of attacks: AUC, rates, intervals, the randomisation test and lower bounds on epsilon."""

from attacks.statistics.auc import auc, delong_placements, delong_variance, mid_ranks, same_ranks
from attacks.statistics.bootstrap import bootstrap_interval
from attacks.statistics.claims import Claim, ClaimVerdict, check_claims
from attacks.statistics.correlation import rank_correlation, standardised_gap
from attacks.statistics.dose import DoseResponse, UserDoses, dose_response
from attacks.statistics.epsilon import EpsilonBound, Split
from attacks.statistics.epsilon_many_runs import (
    epsilon_from_independent_runs,
    epsilon_from_scores_of_independent_runs,
    independent_runs_needed,
)
from attacks.statistics.epsilon_one_run import (
    canaries_needed,
    epsilon_one_run,
    one_run_ceiling,
    one_run_epsilon,
    one_run_p_value,
)
from attacks.statistics.estimate import Estimate, Interval
from attacks.statistics.f_dp import (
    epsilon_f_dp,
    f_dp_canaries_needed,
    f_dp_ceiling,
    f_dp_epsilon,
    gaussian_epsilon,
    gaussian_mu,
)
from attacks.statistics.guesses import CoinFlips, Guesses, GuessGrid
from attacks.statistics.intervals import (
    mean_interval,
    paired_difference,
    resampled_difference,
    sharers_interval,
    user_auc,
    within_user_auc,
)
from attacks.statistics.matched import MatchedRates, chance_p, matched_rates, success_rate
from attacks.statistics.multiple import holm, ranks_by_user
from attacks.statistics.newcombe import newcombe_limits
from attacks.statistics.paired import (
    difference_p,
    least_two_sided_p,
    paired_auc_difference,
    sign_flip,
    sign_flip_two_sided,
)
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
    "Claim",
    "ClaimVerdict",
    "CoinFlips",
    "DoseResponse",
    "EpsilonBound",
    "Estimate",
    "FitTest",
    "GuessGrid",
    "Guesses",
    "Interval",
    "MatchedRates",
    "SkewNormal",
    "Split",
    "TestResult",
    "UserDoses",
    "UserScores",
    "auc",
    "bootstrap_interval",
    "canaries_needed",
    "chance_p",
    "check_claims",
    "clopper_pearson",
    "delong_placements",
    "delong_variance",
    "detectable_auc",
    "difference_p",
    "dose_response",
    "epsilon_f_dp",
    "epsilon_from_independent_runs",
    "epsilon_from_scores_of_independent_runs",
    "epsilon_one_run",
    "f_dp_canaries_needed",
    "f_dp_ceiling",
    "f_dp_epsilon",
    "fit_skew_normal",
    "gaussian_epsilon",
    "gaussian_mu",
    "holm",
    "hull_auc",
    "independent_runs_needed",
    "leakage_retained",
    "least_two_sided_p",
    "matched_rates",
    "max_t",
    "mean_interval",
    "mid_ranks",
    "newcombe_limits",
    "nonmembers_needed",
    "null_deviation",
    "one_run_ceiling",
    "one_run_epsilon",
    "one_run_p_value",
    "paired_auc_difference",
    "paired_difference",
    "rank_correlation",
    "ranks_by_user",
    "records_needed",
    "resampled_difference",
    "roc",
    "same_ranks",
    "sharers_interval",
    "sign_flip",
    "sign_flip_two_sided",
    "skew_normal_test",
    "standardised_gap",
    "success_rate",
    "tpr_at_fpr",
    "tpr_interval",
    "user_auc",
    "within_user_auc",
]
