from dataclasses import replace

import numpy as np
import pytest
import torch

from prime_audit.config import NormMatchedMethod, RandomWeightsMethod, RescaledMethod, TiesMethod
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, export
from prime_audit.modules.dense import change
from prime_audit.personalize import Outcome, Personalisation, TargetContext
from prime_audit.personalize.controls import norm_matched, random_weights, rescaled
from prime_audit.personalize.dense_merges import ties
from tests.personalize.small_modules import MODULES, SHAPES, SHARERS, small_context

WEIGHTS = {"a": 0.7, "b": -0.4, "c": 0.05}
BASE = Outcome(weights={}, norm=0.0, adapter=lambda: None)


def outcome(adapter: LoraModule, weights: dict[str, float]) -> Outcome:
    return Outcome(weights=weights, norm=adapter.norm(), adapter=lambda: adapter)


def searched() -> LoraModule:
    return export([MODULES[name] for name in WEIGHTS], list(WEIGHTS.values()))


def context(seed: int = 1, other: Outcome | None = None) -> TargetContext:
    return small_context(seed, {"prime": other or outcome(searched(), WEIGHTS)})


def norm(found: Personalisation) -> float:
    """Over the dense change, not by the module's own formula."""
    assert found.adapter is not None
    return float(torch.cat([change(found.adapter, layer).double().flatten() for layer in SHAPES]).norm())


def assert_is_the_merge(found: Personalisation) -> None:
    expected = export([MODULES[name] for name in found.sources], found.weights)
    assert found.adapter is not None
    for layer in SHAPES:
        torch.testing.assert_close(
            change(found.adapter, layer), change(expected, layer), atol=1e-4, rtol=1e-4
        )


def test_norm_matched_has_equal_weights_and_the_others_norm() -> None:
    found = norm_matched(context(), NormMatchedMethod())
    assert norm(found) == pytest.approx(searched().norm(), rel=1e-6)
    assert found.sources == SHARERS
    assert found.weights == (found.weights[0],) * 3
    assert found.notes["scale"] == pytest.approx(3 * found.weights[0])
    assert_is_the_merge(found)


def test_random_weights_have_the_others_norm_and_a_direction_of_their_own() -> None:
    found = random_weights(context(), RandomWeightsMethod())
    assert norm(found) == pytest.approx(searched().norm(), rel=1e-6)
    assert_is_the_merge(found)
    assert found.notes["scale"] == pytest.approx(np.linalg.norm(found.weights))
    assert random_weights(context(), RandomWeightsMethod()).weights == found.weights
    assert random_weights(context(2), RandomWeightsMethod()).weights != found.weights


def test_random_directions_are_spread_over_the_sphere() -> None:
    weights = np.array([random_weights(context(s), RandomWeightsMethod()).weights for s in range(200)])
    directions = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    # Uniform on the sphere: each coordinate has mean 0 and mean square 1/3.
    assert np.abs(directions.mean(axis=0)).max() < 0.15
    assert (directions**2).mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.08)


def test_rescaled_is_the_others_direction_with_the_norm_of_the_uniform_merge() -> None:
    found = rescaled(context(), RescaledMethod())
    uniform = export([MODULES[name] for name in SHARERS], [1 / 3] * 3)
    assert norm(found) == pytest.approx(uniform.norm(), rel=1e-6)
    factor = uniform.norm() / searched().norm()
    assert found.notes["scale"] == pytest.approx(factor)
    assert dict(zip(found.sources, found.weights, strict=True)) == pytest.approx(
        {name: factor * weight for name, weight in WEIGHTS.items()}
    )
    assert_is_the_merge(found)


def test_rescaled_scales_what_was_deployed_even_where_it_is_no_weighted_sum() -> None:
    other = ties(small_context(), TiesMethod())
    assert other.adapter is not None
    weights = dict(zip(other.sources, other.weights, strict=True))
    found = rescaled(context(other=outcome(other.adapter, weights)), RescaledMethod())
    assert found.adapter is not None
    factor = float(found.notes["scale"])
    for layer in SHAPES:
        expected = factor * change(other.adapter, layer)
        torch.testing.assert_close(change(found.adapter, layer), expected, atol=1e-5, rtol=1e-5)


def test_a_method_about_one_sharer_lends_its_own_sources_alone() -> None:
    other = outcome(export([MODULES["a"]], [2.0]), {"a": 2.0})
    assert rescaled(context(other=other), RescaledMethod()).sources == ("a",)
    assert norm_matched(context(other=other), NormMatchedMethod()).sources == SHARERS


def test_where_the_other_fell_back_so_does_the_control() -> None:
    for found in (
        random_weights(context(other=BASE), RandomWeightsMethod()),
        norm_matched(context(other=BASE), NormMatchedMethod()),
        rescaled(context(other=BASE), RescaledMethod()),
    ):
        assert found.reverted
        assert "prime deployed no change" in found.reason
        assert (found.adapter, found.weights, found.sources) == (None, (), ())


def test_changes_that_cancel_have_no_norm_to_scale() -> None:
    a, b = MODULES["a"].factors["first"]
    pair = {
        "a": LoraModule(1, 1.0, False, {"first": (a, b)}),
        "b": LoraModule(1, 1.0, False, {"first": (a, -b)}),
    }
    opposite = replace(context(), sharers=("a", "b"), module=pair.__getitem__)
    for found in (norm_matched(opposite, NormMatchedMethod()), rescaled(opposite, RescaledMethod())):
        assert found.reverted
        assert "cancel" in found.reason


def test_a_control_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="control of 'other'"):
        norm_matched(context(), NormMatchedMethod(of="other"))
