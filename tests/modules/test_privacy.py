"""Accounting: against opacus called on its own, an own composition of privacy losses, and known answers."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from opacus.accountants import PRVAccountant
from scipy.stats import norm

from prime_audit.config import PrivacyConfig, TrainingConfig
from prime_audit.errors import ConfigError, ModelError
from prime_audit.modules import Guarantee, promised, read_guarantee, write_guarantee
from prime_audit.modules import privacy as module
from prime_audit.modules.privacy import default_delta, gaussian_delta, gaussian_epsilon, gaussian_noise

TRAINING = TrainingConfig(batch_size=8, epochs=3)


def composed_delta(noise: float, rate: float, steps: int, epsilon: float, *, removed: bool) -> float:
    """δ(ε) of DP-SGD by brute force: the privacy loss on a grid, composed with itself by FFT."""
    x = np.linspace(-14 * noise, 1 + 14 * noise, 400_001)
    without = norm.pdf(x, 0, noise)
    with_it = (1 - rate) * without + rate * norm.pdf(x, 1, noise)
    above, below = (with_it, without) if removed else (without, with_it)
    width, size = 1e-3, 1 << 18
    cells = np.rint(np.log(above / below) / width).astype(int) % size
    mass = np.bincount(cells, above * (x[1] - x[0]), size)
    composed = np.fft.irfft(np.fft.rfft(mass) ** steps, size)
    losses = np.fft.fftfreq(size, 1 / size) * width
    return float((composed * np.clip(1 - np.exp(epsilon - losses), 0, None)).sum())


@pytest.mark.parametrize(("noise", "records", "steps"), [(1.0, 20, 9), (2.0, 100, 39), (0.7, 50, 21)])
def test_epsilon_is_opacus_own_and_holds_in_both_directions(noise: float, records: int, steps: int) -> None:
    found = promised(PrivacyConfig(noise=noise), TRAINING, records)
    assert (found.steps, found.sample_rate, found.noise) == (steps, 8 / records, noise)
    account = PRVAccountant()
    for _ in range(steps):
        account.step(noise_multiplier=noise, sample_rate=8 / records)
    assert found.epsilon == account.get_epsilon(delta=1e-5)
    for removed in (True, False):
        assert composed_delta(noise, 8 / records, steps, found.epsilon, removed=removed) <= 1e-5
    assert composed_delta(noise, 8 / records, steps, found.epsilon - 0.1, removed=True) > 1e-5


@pytest.mark.parametrize("epsilon", [0.1, 3.0])
def test_a_target_is_kept_and_not_by_much(epsilon: float) -> None:
    found = promised(PrivacyConfig(epsilon=epsilon), TRAINING, 20)
    assert 0.98 * epsilon <= found.epsilon <= epsilon
    again = promised(PrivacyConfig(noise=found.noise), TRAINING, 20)
    assert again == found


def test_a_batch_as_large_as_the_history_takes_every_record() -> None:
    found = promised(PrivacyConfig(noise=2.0), TRAINING, 5)
    assert (found.sample_rate, found.steps) == (1.0, 3)
    # Three full-batch steps are one Gaussian mechanism with the noise of one over the root of three.
    assert found.epsilon == pytest.approx(gaussian_epsilon(2 / np.sqrt(3), 1e-5), abs=0.03)


def test_the_default_delta() -> None:
    assert default_delta(12) == 1e-5
    assert default_delta(20_000) == 5e-6
    assert promised(PrivacyConfig(noise=1.0), TRAINING, 20_000).delta == 5e-6
    assert promised(PrivacyConfig(noise=1.0, delta=1e-3), TRAINING, 20).delta == 1e-3


def test_the_gaussian_mechanism_against_known_answers() -> None:
    # research/soundness.md, section 7: ε at δ = 1e-6 for μ = 1 and μ = 2.
    assert gaussian_epsilon(1.0, 1e-6) == pytest.approx(4.887, abs=1e-3)
    assert gaussian_epsilon(0.5, 1e-6) == pytest.approx(10.997, abs=1e-3)
    # δ(0) is the total variation distance 2 Φ(μ/2) - 1.
    assert gaussian_delta(1.0, 0.0) == pytest.approx(2 * norm.cdf(0.5) - 1)
    assert gaussian_epsilon(1e6, 1e-5) == 0.0
    for epsilon in (0.05, 1.0, 100.0):
        assert gaussian_epsilon(gaussian_noise(epsilon, 1e-5), 1e-5) == pytest.approx(epsilon, rel=1e-6)


def test_the_user_level_counts_twice_the_clip() -> None:
    found = promised(PrivacyConfig(noise=2.0, unit="user", clip=7.0), TRAINING, 20)
    assert found.epsilon == gaussian_epsilon(1.0, 1e-5)
    assert (found.steps, found.sample_rate, found.neighbours) == (1, 1.0, "replace")
    # An accountant of another make: one step that takes everything.
    account = PRVAccountant()
    with np.errstate(divide="ignore"):
        account.step(noise_multiplier=1.0, sample_rate=1.0)
        assert 0 <= account.get_epsilon(delta=1e-5) - found.epsilon < 0.02
    target = promised(PrivacyConfig(epsilon=3.0, unit="user"), TRAINING, 20)
    assert target.epsilon == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"epsilon": 900.0}, "epsilon is 900; it can be from 0.05 to 100", "nothing is promised"),
        ({"epsilon": 0.01}, "epsilon is 0.01", "no noise is enough"),
        ({"noise": 0.01}, "noise is 0.01, which gives epsilon", "raise sharers.privacy.noise"),
        ({"noise": 0.01, "unit": "user"}, "noise is 0.01, which gives epsilon", "raise"),
        ({"noise": 1.0, "delta": 0.05}, "delta is 0.05, but a sharer has 20 records", "1/20"),
        ({"noise": 1.0, "delta": 1e-18}, "finds no epsilon for 20 records at delta 1e-18", "another"),
    ],
)
def test_settings_that_promise_nothing(settings: dict[str, float], message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        promised(PrivacyConfig.model_validate(settings), TRAINING, 20)
    assert hint in caught.value.hint


def test_without_opacus_only_the_user_level_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="opacus, which is not installed") as caught:
        promised(PrivacyConfig(epsilon=8.0), TRAINING, 20)
    assert caught.value.exit_code == 2
    assert "prime-audit[dp]" in caught.value.hint
    assert promised(PrivacyConfig(epsilon=8.0, unit="user"), TRAINING, 20).epsilon == pytest.approx(8.0)


def test_opacus_leaves_the_logging_as_it_was() -> None:
    before = list(logging.root.handlers)
    with module.quiet_opacus():
        logging.root.addHandler(logging.NullHandler())
    assert logging.root.handlers == before


def test_a_guarantee_is_read_back_and_checked(tmp_path: Path) -> None:
    assert read_guarantee(tmp_path) is None
    guarantee = promised(PrivacyConfig(noise=1.0), TRAINING, 20)
    write_guarantee(guarantee, tmp_path)
    assert read_guarantee(tmp_path) == guarantee
    written = json.loads((tmp_path / "privacy.json").read_text(encoding="utf-8"))
    assert set(written) == set(Guarantee.model_fields)
    assert "selection of sharers and task adaptation are not covered" in written["covers"]
    (tmp_path / "privacy.json").write_text(json.dumps({**written, "epsilon": -1}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"privacy.json: epsilon: .*greater than or equal to 0"):
        read_guarantee(tmp_path)
