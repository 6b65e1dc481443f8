"""What a differentially private training promises: accounting, calibration, and the file that says so."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from prime_audit.config import PrivacyConfig, TrainingConfig
from prime_audit.core import write_json
from prime_audit.errors import ConfigError
from prime_audit.modules.sidecar import read_sidecar

NOT_COVERED: Final = (
    "covers the training of the module only; selection of sharers and task adaptation are not covered"
)
_FILE: Final = "privacy.json"
_WHERE: Final = "sharers.privacy"
# Below, the accountant's own error is no longer small; above, nothing is promised and accounting is slow.
_SMALLEST, _LARGEST = 0.05, 100.0


class Guarantee(BaseModel):
    """An (ε, δ) guarantee of one module's training, and everything it follows from.

    Attributes:
        epsilon: ε, in nats.
        delta: δ.
        unit: ``example``: neighbours differ in one record. ``user``: neighbours are any two users.
        neighbours: ``add-remove`` (example) or ``replace`` (user).
        noise: Standard deviation of the noise per coordinate over ``clip``.
        clip: Largest L2 norm: of an example's gradient, or of the module's change.
        steps: How often noise was added; steps whose batch was empty are counted.
        sample_rate: Chance of every record to be in a step's batch.
        accountant: ``prv`` (opacus; Gopi et al. 2021) or ``analytic-gaussian`` (Balle and Wang 2018).
        covers: What the guarantee does and does not speak about.

    How many records there are counts as public: the sampling rate, the steps and δ follow from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epsilon: float = Field(ge=0)
    delta: float = Field(gt=0, lt=1)
    unit: Literal["example", "user"]
    neighbours: Literal["add-remove", "replace"]
    noise: float = Field(gt=0)
    clip: float = Field(gt=0)
    steps: int = Field(ge=1)
    sample_rate: float = Field(gt=0, le=1)
    accountant: Literal["prv", "analytic-gaussian"]
    covers: str = NOT_COVERED


def default_delta(records: int) -> float:
    """Returns δ = min(1e-5, 1 / (10 n)) for n records."""
    return min(1e-5, 1 / (10 * records))


def promised(privacy: PrivacyConfig, training: TrainingConfig, records: int) -> Guarantee:
    """Works out what a private training will promise, before it is run.

    Args:
        privacy: The unit, the clip, and a target ε or the noise.
        training: Batch size and epochs decide sampling rate and steps of DP-SGD.
        records: How many records are trained on; at least 1.

    Returns:
        The guarantee; with a target ε its noise is the least that keeps the target, to 1 % in ε.

    Raises:
        ConfigError: The settings cannot be met or promise nothing, or opacus is needed and missing.
    """
    delta = privacy.delta if privacy.delta is not None else default_delta(records)
    if privacy.epsilon is not None and not _SMALLEST <= privacy.epsilon <= _LARGEST:
        raise ConfigError(
            f"{_WHERE}.epsilon is {privacy.epsilon:g}; it can be from {_SMALLEST:g} to {_LARGEST:g}",
            hint="below, no noise is enough for these accountants; above, nothing is promised",
        )
    if privacy.unit == "user":
        return _user_level(privacy, delta)
    if delta >= 1 / records:
        raise ConfigError(
            f"{_WHERE}.delta is {delta:g}, but a sharer has {records} records",
            hint=f"a delta of 1/{records} or more allows a record to be published; leave it out",
        )
    return _example_level(privacy, training, delta, records)


def _check_installed() -> None:
    # User-level noise needs no library of its own.
    if find_spec("opacus") is None:
        raise ConfigError(
            f"{_WHERE}: DP-SGD needs opacus, which is not installed", hint="pip install 'prime-audit[dp]'"
        )


def _example_level(privacy: PrivacyConfig, training: TrainingConfig, delta: float, records: int) -> Guarantee:
    _check_installed()
    rate = min(1.0, training.batch_size / records)
    steps = math.ceil(records / training.batch_size) * training.epochs
    try:
        if privacy.noise is not None:
            noise = privacy.noise
            _refuse_empty_promise(noise, spent(noise, rate, steps, delta, accountant="rdp"))
        else:
            noise = _calibrated(privacy.epsilon or 0.0, rate, steps, delta)
        epsilon = spent(noise, rate, steps, delta)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{_WHERE}: the accountant finds no epsilon for {records} records at delta {delta:g}: {error}",
            hint="choose another epsilon, noise or delta",
        ) from error
    return Guarantee(
        epsilon=epsilon,
        delta=delta,
        unit="example",
        neighbours="add-remove",
        noise=noise,
        clip=privacy.clip,
        steps=steps,
        sample_rate=rate,
        accountant="prv",
    )


def _user_level(privacy: PrivacyConfig, delta: float) -> Guarantee:
    # The sensitivity is twice the clip, so the noise per unit of sensitivity is half the noise per clip.
    if privacy.noise is not None:
        noise = privacy.noise
    else:
        noise = 2 * gaussian_noise(privacy.epsilon or 0.0, delta)
    epsilon = gaussian_epsilon(noise / 2, delta)
    _refuse_empty_promise(noise, epsilon)
    return Guarantee(
        epsilon=epsilon,
        delta=delta,
        unit="user",
        neighbours="replace",
        noise=noise,
        clip=privacy.clip,
        steps=1,
        sample_rate=1.0,
        accountant="analytic-gaussian",
    )


def _refuse_empty_promise(noise: float, epsilon: float) -> None:
    if not epsilon <= _LARGEST * (1 + 1e-9):
        raise ConfigError(
            f"{_WHERE}.noise is {noise:g}, which gives epsilon {epsilon:.3g}: above {_LARGEST:g} it promises "
            "nothing",
            hint=f"raise {_WHERE}.noise, or leave {_WHERE} out",
        )


@cache
def spent(noise: float, rate: float, steps: int, delta: float, accountant: str = "prv") -> float:
    """Returns the ε that DP-SGD has spent, by opacus.

    Args:
        noise: Standard deviation of the noise over the clip.
        rate: Poisson sampling rate.
        steps: Steps taken, empty batches included.
        delta: δ.
        accountant: ``prv`` (numerical composition, arXiv 2106.02848) or ``rdp`` (arXiv 1908.10530).

    Returns:
        An upper end of ε for adding or removing one record.
    """
    with quiet_opacus():
        from opacus.accountants import create_accountant

        account = create_accountant(mechanism=accountant)
        account.history = [(noise, rate, steps)]
        return float(account.get_epsilon(delta=delta))


@cache
def _calibrated(epsilon: float, rate: float, steps: int, delta: float) -> float:
    with quiet_opacus():
        from opacus.accountants.utils import get_noise_multiplier

        return float(
            get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant="prv",
                epsilon_tolerance=epsilon / 100,
            )
        )


@contextmanager
def quiet_opacus() -> Iterator[None]:
    """Keeps opacus from setting up the process's logging and from warning on its own account."""
    handlers = list(logging.root.handlers)
    try:
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # A Rényi order at the end of its range loosens the bound, and log 0 at rate 1 is meant.
            warnings.filterwarnings("ignore", module="opacus")
            yield
    finally:
        logging.root.handlers[:] = handlers


def gaussian_delta(noise: float, epsilon: float) -> float:
    """Returns the exact δ of the Gaussian mechanism: Balle and Wang 2018 (arXiv 1805.06530), Theorem 8.

    Args:
        noise: Standard deviation over L2 sensitivity.
        epsilon: ε.

    Returns:
        ``Φ(1/(2s) - εs) - e^ε Φ(-1/(2s) - εs)`` with s the noise.
    """
    half, shift = 0.5 / noise, epsilon * noise
    return float(ndtr(half - shift) - np.exp(epsilon + log_ndtr(-half - shift)))


def gaussian_epsilon(noise: float, delta: float) -> float:
    """Returns the least ε of the Gaussian mechanism at δ, by solving `gaussian_delta`.

    Args:
        noise: Standard deviation over L2 sensitivity.
        delta: δ.

    Returns:
        ε; 0 where δ alone suffices.
    """
    if gaussian_delta(noise, 0.0) <= delta:
        return 0.0
    # P(loss > ε) bounds δ, and the loss is normal with mean μ²/2 and deviation μ = 1 / noise.
    most = 0.5 / noise**2 + math.sqrt(2 * math.log(1 / delta)) / noise + 1e-9
    return float(brentq(lambda eps: gaussian_delta(noise, eps) - delta, 0.0, most, xtol=1e-12, rtol=1e-12))


def gaussian_noise(epsilon: float, delta: float) -> float:
    """Returns the least noise of the Gaussian mechanism that keeps (ε, δ).

    Args:
        epsilon: ε, above 0.
        delta: δ.

    Returns:
        Standard deviation over L2 sensitivity.
    """

    def excess(log_noise: float) -> float:
        return gaussian_delta(math.exp(log_noise), epsilon) - delta

    return math.exp(float(brentq(excess, math.log(1e-3), math.log(1e9), xtol=1e-12)))


def write_guarantee(guarantee: Guarantee, folder: Path) -> None:
    """Writes ``privacy.json`` beside a module's files.

    Args:
        guarantee: What the module's training promises.
        folder: The module's folder.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(folder / _FILE, guarantee.model_dump(mode="json"))


def read_guarantee(folder: Path) -> Guarantee | None:
    """Reads what a module's training promises. It is a claim of whoever made the module, not a proof.

    Args:
        folder: The module's folder.

    Returns:
        The guarantee; None if the module comes without one.

    Raises:
        ModelError: The file is there and is no such claim.
        DataError: It is no valid JSON.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    hint = "the file was changed by hand or comes from another version: train the module again"
    return read_sidecar(path, Guarantee, hint)
