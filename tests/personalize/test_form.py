from collections.abc import Callable

import numpy as np
import pytest
import torch

from prime_audit.config import UniformMethod
from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, export, merge_norm
from prime_audit.personalize import Personalisation, TargetContext
from prime_audit.personalize.averaging import uniform
from prime_audit.personalize.form import FULL, LAID_OPEN, check_form, in_form

MakeContext = Callable[..., TargetContext]


@pytest.fixture
def merged(make_context: MakeContext) -> Personalisation:
    return uniform(make_context(), UniformMethod())


def test_by_default_nothing_changes(merged: Personalisation, modules: dict[str, LoraModule]) -> None:
    assert in_form(merged, modules, None, False) == (merged, FULL)
    assert in_form(merged, modules, 99, False) == (merged, FULL)


def test_a_cut_keeps_the_largest_singular_values_and_says_what_is_lost(
    merged: Personalisation, modules: dict[str, LoraModule]
) -> None:
    found, words = in_form(merged, modules, 2, False)
    assert merged.adapter is not None
    assert found.adapter is not None
    assert found.adapter.rank == 2
    squares = dropped = 0.0
    for name, (a, b) in merged.adapter.factors.items():
        values = np.linalg.svd((b @ a).numpy(), compute_uv=False)
        squares += float((values**2).sum())
        dropped += float((values[2:] ** 2).sum())
        cut = found.adapter.factors[name][1] @ found.adapter.factors[name][0]
        assert torch.linalg.matrix_rank(cut) == 2
    assert f"{np.sqrt(dropped / squares):.1%} of the change's norm is lost" in words
    distance = merge_norm([found.adapter, merged.adapter], [1.0, -1.0])
    assert distance / merged.adapter.norm() == pytest.approx(np.sqrt(dropped / squares), rel=1e-4)


def test_a_concatenation_is_the_same_change_with_the_modules_as_slices(
    merged: Personalisation, modules: dict[str, LoraModule]
) -> None:
    found, words = in_form(merged, modules, None, True)
    assert words == LAID_OPEN
    assert found.adapter is not None
    assert merged.adapter is not None
    assert merge_norm([found.adapter, merged.adapter], [1.0, -1.0]) < 1e-4 * merged.adapter.norm()
    for name, (a, _) in found.adapter.factors.items():
        torch.testing.assert_close(a[2:4], modules["b"].factors[name][0])


def test_what_is_no_weighted_sum_cannot_be_laid_open(
    merged: Personalisation, modules: dict[str, LoraModule]
) -> None:
    product = export(list(modules.values()), [0.5, 0.4, 0.3], space="factor")
    other = Personalisation(merged.prompt, product, merged.sources, (0.25, 0.16, 0.09))
    with pytest.raises(ConfigError, match="no weighted sum"):
        in_form(other, modules, None, True)


def test_the_base_has_no_form(merged: Personalisation, modules: dict[str, LoraModule]) -> None:
    base = Personalisation(merged.prompt, reverted=True, reason="why")
    assert in_form(base, modules, 1, False) == (base, "")


def test_forms_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be cut"):
        check_form(2, True)
    with pytest.raises(ConfigError, match="at least 1"):
        check_form(0, False)
