"""The skew-normal distribution: its fit, a test of the fit, and its far upper tail."""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import log_ndtr, ndtr, owens_t

from attacks.arrays import FloatArray

DRAWS = 199
# The bootstrap stops once so many samples fit worse than the data: a good fit is seen early.
_ENOUGH = 10
# A larger shape is a half-normal for all that a sample can show.
_STEEPEST = 50.0
# Location and log-scale of standardised values lie within; the search shall not leave it for a moment.
_FARTHEST = 4.0
# Moments of a skew-normal reach a skewness of .9953; a sample's may exceed it.
_MOST_SKEWED = 0.99
_LOG_DENSITY_AT_ZERO = -0.5 * math.log(2 * math.pi)
# Below this share the tail is integrated: the difference that `cdf` takes has no digits left there.
_TAIL = 1e-3


@dataclass(frozen=True)
class SkewNormal:
    """Skew-normal distribution (Azzalini 1985, Scand. J. Stat. 12:171).

    Attributes:
        shape: 0 is a normal distribution; positive leans to the right.
        location: Origin of the standardised value.
        scale: Its unit, positive.
    """

    shape: float
    location: float
    scale: float

    def cdf(self, values: FloatArray) -> FloatArray:
        """Returns the probability of a value of at most each of these (by Owen's T)."""
        z = (values - self.location) / self.scale
        return np.asarray(np.clip(ndtr(z) - 2 * owens_t(z, self.shape), 0.0, 1.0), dtype=np.float64)

    def log_survival(self, value: float) -> float:
        """Returns the log of the probability of more than ``value``, in nats, however far out it lies."""
        above = 1 - float(self.cdf(np.array([value]))[0])
        if above > _TAIL:
            return math.log(above)
        start = (value - self.location) / self.scale
        peak = self._log_density(start)
        # The density is log-concave, so beyond its mode it falls off at least as fast as at the start.
        area, _ = scipy.integrate.quad(
            lambda step: math.exp(self._log_density(start + step) - peak), 0, math.inf
        )
        return peak + math.log(area)

    def _log_density(self, z: float) -> float:
        """Log-density of the standardised value."""
        return math.log(2) + _LOG_DENSITY_AT_ZERO - 0.5 * z * z + float(log_ndtr(self.shape * z))

    def sample(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Returns independent draws, ``(size,)``."""
        delta = self.shape / math.hypot(1.0, self.shape)
        first, second = rng.normal(size=(2, size))
        z = delta * np.abs(first) + math.sqrt(1 - delta**2) * second
        return np.asarray(self.location + self.scale * z, dtype=np.float64)


@dataclass(frozen=True)
class FitTest:
    """How well a fitted skew-normal describes the values that it was fitted to.

    Attributes:
        fitted: The distribution of greatest likelihood.
        statistic: Kolmogorov and Smirnov's largest distance between the two distribution functions.
        p: Bootstrap p-value of the fit; small = the values are not skew-normal.
        draws: Samples that the p-value rests on.
    """

    fitted: SkewNormal
    statistic: float
    p: float
    draws: int


def fit_skew_normal(values: FloatArray) -> SkewNormal:
    """Fits a skew-normal by maximum likelihood, from the moments as a start.

    Args:
        values: ``(n,)`` values that differ.

    Returns:
        The fitted distribution.

    Raises:
        ValueError: A value is not finite, or all are equal.
    """
    if not np.isfinite(values).all():
        raise ValueError("values: one is not finite")
    mean, deviation = float(np.mean(values)), float(np.std(values))
    if not deviation > 1e-12 * max(1.0, abs(mean)):
        raise ValueError("values: all are equal, so no distribution can be fitted")
    z = (values - mean) / deviation
    found = scipy.optimize.minimize(
        _loss,
        _moments(z),
        args=(z,),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_STEEPEST, _STEEPEST), (-_FARTHEST, _FARTHEST), (-_FARTHEST, _FARTHEST)],
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
    )
    shape, location, log_scale = (float(value) for value in found.x)
    return SkewNormal(shape, mean + deviation * location, deviation * math.exp(log_scale))


def _moments(z: FloatArray) -> FloatArray:
    """Shape, location and log-scale with the skewness of standardised values."""
    skewness = float(np.clip(np.mean(z**3), -_MOST_SKEWED, _MOST_SKEWED))
    power = abs(skewness) ** (2 / 3)
    delta = math.copysign(math.sqrt(math.pi / 2 * power / (power + ((4 - math.pi) / 2) ** (2 / 3))), skewness)
    scale = 1 / math.sqrt(1 - 2 * delta**2 / math.pi)
    shape = delta / math.sqrt(1 - delta**2)
    return np.array([shape, -scale * delta * math.sqrt(2 / math.pi), math.log(scale)])


def _loss(parameters: FloatArray, z: FloatArray) -> tuple[float, FloatArray]:
    """Minus the mean log-likelihood, but for a constant, and its gradient."""
    shape, location, log_scale = parameters
    scale = math.exp(log_scale)
    u = (z - location) / scale
    log_side = log_ndtr(shape * u)
    ratio = np.exp(_LOG_DENSITY_AT_ZERO - 0.5 * (shape * u) ** 2 - log_side)
    loss = log_scale + 0.5 * np.mean(u * u) - np.mean(log_side)
    slope = [
        -np.mean(ratio * u),
        np.mean(shape * ratio - u) / scale,
        1 - np.mean(u * u) + shape * np.mean(ratio * u),
    ]
    return float(loss), np.array(slope)


def skew_normal_test(values: FloatArray, rng: np.random.Generator, draws: int = DRAWS) -> FitTest:
    """Tests whether values are skew-normal, by a parametric bootstrap of Kolmogorov and Smirnov's distance.

    The parameters are fitted to the values themselves, so the tabulated distribution of the distance does
    not hold (Lilliefors 1967); each sample of the fitted distribution is fitted anew instead. It stops early,
    once 10 samples lie at least as far off as the values: p = 10 / samples is as valid (Besag and Clifford
    1991, Biometrika 78:301).

    Args:
        values: ``(n,)`` values that differ.
        rng: Source of the samples.
        draws: Most samples.

    Returns:
        The fit, the distance and its p-value.

    Raises:
        ValueError: A value is not finite, or all are equal.
    """
    fitted = fit_skew_normal(values)
    statistic = _distance(values, fitted)
    farther = 0
    for done in range(1, draws + 1):
        sample = fitted.sample(rng, len(values))
        farther += _distance(sample, fit_skew_normal(sample)) >= statistic
        if farther == _ENOUGH:
            return FitTest(fitted, statistic, farther / done, done)
    return FitTest(fitted, statistic, (1 + farther) / (1 + draws), draws)


def _distance(values: FloatArray, fitted: SkewNormal) -> float:
    count = len(values)
    below = fitted.cdf(np.sort(values))
    steps = np.arange(count + 1) / count
    return float(max((steps[1:] - below).max(), (below - steps[:-1]).max()))
