"""Attacks that compare a record's score with shadow models trained with and without the record.

All read the mean log-probability per token, phi, of the target and of M shadow models. Whoever runs them
needs log-probabilities of the audited model, the training recipe, data like the sharers' and, since shadows
pass through the same merge, its weights and the other sharers' modules: the merger (A0).
"""

from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import log_ndtr

from attacks.arrays import BoolArray, FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence
from attacks.shadow_scores import ShadowScores

# With fewer shadows on a side, its spread is pooled over records.
OWN_SPREAD_FROM = 32
# A spread is at least this share of the spread of all scores, so that no record weighs without end.
SPREAD_FLOOR = 1e-3
# Weight of the prior mean and of the prior variance, in observations, of the Bayesian attack.
PRIOR_MEAN_WEIGHT = 1.0
PRIOR_SHAPE = 1.0


@dataclass(frozen=True)
class Side:
    """Shadow scores of each record on one side: with the record, or without it.

    Attributes:
        count: ``(N,)`` shadows.
        mean: ``(N,)`` mean score.
        squares: ``(N,)`` sum of squared residuals from that mean.
    """

    count: FloatArray
    mean: FloatArray
    squares: FloatArray

    def pooled_variance(self) -> float | None:
        """Returns the variance of residuals over all records, with one degree lost per record; or None."""
        degrees = float(np.maximum(self.count - 1, 0).sum())
        return float(self.squares.sum()) / degrees if degrees > 0 else None


def side_of(shadows: ShadowScores, inside: BoolArray, name: str) -> Side:
    """Summarises one side.

    Args:
        shadows: Scores under M shadows.
        inside: ``(M, N)`` True where a shadow belongs to the side.
        name: What the side is called in messages.

    Returns:
        Counts, means and sums of squared residuals.

    Raises:
        ValueError: A record has no shadow on the side; its position is named.
    """
    count = inside.sum(axis=0).astype(np.float64)
    empty = np.flatnonzero(count == 0)
    if len(empty):
        listed = ", ".join(map(str, empty))
        raise ValueError(f"{len(empty)} records lack a shadow that {name} the record (positions {listed})")
    mean = np.where(inside, shadows.phi, 0.0).sum(axis=0) / count
    squares = (np.where(inside, shadows.phi - mean, 0.0) ** 2).sum(axis=0)
    return Side(count, mean, squares)


def spread_of(side: Side, scale: float) -> FloatArray:
    """Returns the standard deviation of a side's scores per record.

    With 32 shadows on the side it is the record's own (ddof 1); with fewer it is pooled over records after
    removing each record's mean. It is at least 1e-3 of ``scale``; where no record has two shadows on the
    side it is ``scale`` itself.

    Args:
        side: The side.
        scale: Standard deviation of all scores.

    Returns:
        ``(N,)`` standard deviations, above zero.
    """
    pooled = side.pooled_variance()
    shared = np.sqrt(pooled) if pooled is not None else scale
    own = np.sqrt(side.squares / np.maximum(side.count - 1, 1))
    chosen = np.where(side.count >= OWN_SPREAD_FROM, own, shared)
    floor = SPREAD_FLOOR * scale if scale > 0 else 1.0
    spread: FloatArray = np.maximum(chosen, floor)
    return spread


def normal_log_density(values: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Returns log N(value; mean, spread squared)."""
    return np.asarray(-0.5 * np.log(2 * np.pi) - np.log(spread) - 0.5 * ((values - mean) / spread) ** 2)


def lira(evidence: Evidence) -> FloatArray:
    """Likelihood ratio of normals fitted to the shadows with and without the record (arXiv 2112.03570)."""
    shadows, phi = _shadows(evidence), evidence.target.mean()
    scale = float(shadows.phi.std())
    inside = side_of(shadows, shadows.keep, "held")
    outside = side_of(shadows, ~shadows.keep, "left out")
    return normal_log_density(phi, inside.mean, spread_of(inside, scale)) - normal_log_density(
        phi, outside.mean, spread_of(outside, scale)
    )


def lira_offline(evidence: Evidence) -> FloatArray:
    """How high the target stands among shadows without the record: log Phi, one-sided (arXiv 2112.03570).

    A record that the target finds *less* likely than the shadows do is no member: the score falls there.
    """
    shadows, phi = _shadows(evidence), evidence.target.mean()
    outside = side_of(shadows, ~shadows.keep, "left out")
    z = (phi - outside.mean) / spread_of(outside, float(shadows.phi.std()))
    return np.asarray(log_ndtr(z), dtype=np.float64)


def prior_probability(out: FloatArray, offline_a: float) -> FloatArray:
    """Returns the average probability of a record, from the shadows without it (arXiv 2312.03262, eq. 9).

    Args:
        out: ``(N,)`` mean probability under shadows without the record.
        offline_a: a; 1 takes the mean itself.

    Returns:
        ``(N,)`` ((1 + a) out + (1 - a)) / 2.
    """
    return np.asarray(0.5 * ((1 + offline_a) * out + (1 - offline_a)))


def share_beaten(ratio: FloatArray, population: FloatArray, gamma: float) -> FloatArray:
    """Returns the share of known non-members whose ratio each record's is gamma times or more, ``(N,)``."""
    beaten: FloatArray = np.searchsorted(np.sort(population), ratio / gamma, side="right") / len(population)
    return beaten


def rmia(gamma: float = 1.0, *, online: bool = True, offline_a: float = 1.0) -> Attack:
    """Pairwise likelihood ratios against known non-members (Zarifzadeh et al., arXiv 2312.03262).

    Probabilities are per token, exp(phi). For those a = 1 is right: a = .3, made for class probabilities,
    turns the attack into the loss attack on text. Scores are multiples of 1 / Z, so there are ties. Known
    non-members have no shadow that holds them, so their average is over shadows without them, online too.

    Args:
        gamma: By how much a record must beat a non-member.
        online: Average over shadows with and without the record; otherwise without it alone.
        offline_a: a of the offline average.

    Returns:
        The attack.
    """

    def signal(evidence: Evidence) -> FloatArray:
        shadows, known = _shadows(evidence), evidence.population
        if known is None or known.shadows is None:
            raise ValueError("needs the shadows' scores of known non-members")
        p, p_known = np.exp(shadows.phi), np.exp(known.shadows.phi)
        out = side_of(ShadowScores(p, shadows.keep), ~shadows.keep, "left out").mean
        if online:
            inside = side_of(ShadowScores(p, shadows.keep), shadows.keep, "held").mean
            average, average_known = 0.5 * (inside + out), p_known.mean(axis=0)
        else:
            average = prior_probability(out, offline_a)
            average_known = prior_probability(p_known.mean(axis=0), offline_a)
        ratio = np.exp(evidence.target.mean()) / average
        return share_beaten(ratio, np.exp(known.target.mean()) / average_known, gamma)

    name, params = (
        ("rmia", {"gamma": gamma}) if online else ("rmia-offline", {"gamma": gamma, "a": offline_a})
    )
    return Attack(name, "A0", ("logp", "shadows", "population"), "arXiv:2312.03262", 1, signal, params)


def base_attack(evidence: Evidence) -> FloatArray:
    """Log-probability minus the log of the mean probability over all shadows (BASE, arXiv 2505.24089)."""
    phi = _shadows(evidence).phi
    # About the largest one, so that the mean of equal probabilities is exactly theirs.
    largest = phi.max(axis=0)
    average: FloatArray = largest + np.log(np.exp(phi - largest).mean(axis=0))
    return evidence.target.mean() - average


def posterior_log_density(
    values: FloatArray, side: Side, prior_mean: FloatArray, prior_variance: float
) -> FloatArray:
    """Returns the log posterior predictive density under a normal-inverse-gamma prior.

    With kappa0 = alpha0 = 1 and beta0 = the prior variance: kn = k0 + n, mn = (k0 m0 + n xbar) / kn,
    an = a0 + n / 2, bn = b0 + SS / 2 + k0 n (xbar - m0)^2 / (2 kn), and a Student t of 2 an degrees with
    location mn and squared scale bn (kn + 1) / (an kn).

    Args:
        values: ``(N,)`` scores.
        side: The shadows' scores.
        prior_mean: ``(N,)`` m0.
        prior_variance: beta0.

    Returns:
        ``(N,)`` log densities.
    """
    weight = PRIOR_MEAN_WEIGHT + side.count
    location = (PRIOR_MEAN_WEIGHT * prior_mean + side.count * side.mean) / weight
    shape = PRIOR_SHAPE + side.count / 2
    shift = PRIOR_MEAN_WEIGHT * side.count * (side.mean - prior_mean) ** 2 / (2 * weight)
    rate = prior_variance + side.squares / 2 + shift
    scale = np.sqrt(rate * (weight + 1) / (shape * weight))
    return np.asarray(scipy.stats.t.logpdf(values, 2 * shape, location, scale), dtype=np.float64)


def bavaria(evidence: Evidence) -> FloatArray:
    """Bayesian variance: a likelihood ratio of posterior predictive densities (after arXiv 2603.11799).

    Confirmed against the paper's abstract and introduction: a conjugate normal-inverse-gamma model per side
    in place of a plug-in variance, meant for few shadows. Not confirmed, since only those were read: the
    priors. Here the prior variance is the pooled residual variance of both sides, and the prior mean the
    record's mean over all its shadows, each with the weight of one observation.
    """
    shadows, phi = _shadows(evidence), evidence.target.mean()
    inside = side_of(shadows, shadows.keep, "held")
    outside = side_of(shadows, ~shadows.keep, "left out")
    scale = float(shadows.phi.std())
    known = [v for v in (inside.pooled_variance(), outside.pooled_variance()) if v is not None]
    floor = (SPREAD_FLOOR * scale) ** 2 if scale > 0 else 1.0
    variance = max(float(np.mean(known)) if known else scale**2, floor)
    centre = shadows.phi.mean(axis=0)
    return posterior_log_density(phi, inside, centre, variance) - posterior_log_density(
        phi, outside, centre, variance
    )


def _shadows(evidence: Evidence) -> ShadowScores:
    if evidence.shadows is None:
        raise ValueError("needs the scores of shadow models")
    return evidence.shadows


_NEEDS = ("logp", "shadows")
LIRA = Attack("lira", "A0", _NEEDS, "arXiv:2112.03570, arXiv:2505.18773", 1, lira, oriented=True)
LIRA_OFFLINE = Attack("lira-offline", "A0", _NEEDS, "arXiv:2112.03570", 1, lira_offline)
RMIA = rmia()
RMIA_OFFLINE = rmia(online=False)
BASE_MIA = Attack("base-mia", "A0", _NEEDS, "arXiv:2505.24089", 1, base_attack)
BAVARIA = Attack("bavaria", "A0", _NEEDS, "arXiv:2603.11799", 1, bavaria, oriented=True)
