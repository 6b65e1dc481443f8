"""Merges of given weights: the share is kept whatever the norm, and the norm is the one that is asked for."""

from collections.abc import Callable

import numpy as np
import pytest

from prime_audit.config import FixedWeightsMethod
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, export, merge_norm
from prime_audit.personalize import TargetContext
from prime_audit.personalize.fixed import fixed_weights
from tests.personalize.small_modules import MODULES, small_context

MakeContext = Callable[..., TargetContext]


def test_weights_are_taken_as_they_are() -> None:
    found = fixed_weights(small_context(), FixedWeightsMethod(weights=(0.5, -0.2)))
    assert (found.sources, found.weights) == (("a", "b"), (0.5, -0.2))
    assert found.adapter is not None
    expected = [MODULES["a"], MODULES["b"]]
    assert merge_norm([found.adapter, *expected], [1.0, -0.5, 0.2]) < 1e-4 * found.adapter.norm()


@pytest.mark.parametrize("space", ["exact", "factor"])
@pytest.mark.parametrize("norm", [1.5, 0.015])
def test_the_norm_is_a_multiple_of_the_sharers(
    make_context: MakeContext, modules: dict[str, LoraModule], space: str, norm: float
) -> None:
    settings = FixedWeightsMethod.model_validate({"weights": (2.0, 1.0, 1.0), "norm": norm, "space": space})
    found = fixed_weights(make_context(), settings)
    mean = float(np.mean([module.norm() for module in modules.values()]))
    assert found.adapter is not None
    assert found.adapter.norm() == pytest.approx(norm * mean, rel=1e-4)


def test_scaling_leaves_the_direction_and_the_shares() -> None:
    large, small = (
        fixed_weights(small_context(), FixedWeightsMethod(weights=(4, 1, 1), norm=norm))
        for norm in (1.5, 0.1)
    )
    assert large.adapter is not None
    assert small.adapter is not None
    assert merge_norm([large.adapter, small.adapter], [1.0, -15.0]) < 1e-3 * large.adapter.norm()
    assert np.allclose(np.array(large.weights) / large.weights[1], [4, 1, 1])


def test_factor_space_is_the_published_product_and_its_shares_are_squares(
    make_context: MakeContext, modules: dict[str, LoraModule]
) -> None:
    settings = FixedWeightsMethod(weights=(0.6, -0.3), space="factor")
    found = fixed_weights(make_context(), settings)
    assert found.adapter is not None
    expected = export([modules["a"], modules["b"]], [0.6, -0.3], space="factor")
    assert merge_norm([found.adapter, expected], [1.0, -1.0]) < 1e-4 * expected.norm()
    assert found.weights == pytest.approx((0.36, -0.09))


def test_more_weights_than_sharers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"has 4 weights, but each target gets 3 sharers"):
        fixed_weights(small_context(), FixedWeightsMethod(weights=(1, 1, 1, 1)))


def test_weights_without_a_change_have_no_norm() -> None:
    with pytest.raises(ConfigError, match="give no change"):
        fixed_weights(small_context(), FixedWeightsMethod(weights=(0.0, 0.0), norm=0.5))
