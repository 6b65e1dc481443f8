from dataclasses import replace

import pytest
import torch
from peft.utils.merge_utils import ties as peft_ties

from prime_audit.config import DareMethod, TiesMethod, UniformMethod
from prime_audit.modules.dense import change
from prime_audit.personalize.averaging import uniform
from prime_audit.personalize.dense_merges import dare, ties
from tests.personalize.small_modules import MODULES, SHAPES, SHARERS, small_context

FULL = 12  # the largest layer's larger side: no layer is cut


def flat(module: object) -> torch.Tensor:
    return torch.cat([change(module, layer).flatten() for layer in sorted(SHAPES)])  # type: ignore[arg-type]


@pytest.mark.parametrize("density", [0.2, 0.6])
def test_ties_trims_over_all_layers_together(density: float) -> None:
    found = ties(small_context(), TiesMethod(density=density, scale=0.5, rank=FULL))
    expected = 0.5 * peft_ties([flat(MODULES[name]) for name in SHARERS], torch.ones(3), density)
    torch.testing.assert_close(flat(found.adapter), expected, atol=1e-4, rtol=1e-4)
    assert found.notes["svd_error"] == pytest.approx(0, abs=1e-6)
    assert found.weights == pytest.approx((0.5 / 3,) * 3)
    assert found.notes["weights"] == "nominal"


def test_the_rank_is_that_of_the_sharers_together_and_its_error_is_stated() -> None:
    whole = ties(small_context(), TiesMethod(rank=FULL))
    cut = ties(small_context(), TiesMethod(rank=2))
    assert cut.adapter is not None
    assert whole.adapter is not None
    lost = (flat(whole.adapter) - flat(cut.adapter)).norm() / flat(whole.adapter).norm()
    assert cut.notes["svd_error"] == pytest.approx(float(lost), rel=1e-4)
    assert float(lost) > 0.1
    usual = ties(small_context(), TiesMethod())
    assert usual.adapter is not None
    assert usual.adapter.rank == usual.notes["rank"] == 1 + 2 + 3


def test_dare_without_dropping_is_the_uniform_merge() -> None:
    found = dare(small_context(), DareMethod(density=1.0, scale=0.8))
    expected = uniform(small_context(), UniformMethod(scale=0.8))
    torch.testing.assert_close(flat(found.adapter), flat(expected.adapter), atol=1e-4, rtol=1e-4)
    assert found.weights == expected.weights


def test_dare_with_election_and_without_dropping_is_ties_without_trimming() -> None:
    found = dare(small_context(), DareMethod(density=1.0, combine="ties", rank=FULL))
    expected = ties(small_context(), TiesMethod(density=1.0, rank=FULL))
    torch.testing.assert_close(flat(found.adapter), flat(expected.adapter), atol=1e-4, rtol=1e-4)


def test_the_mean_over_seeds_is_the_uniform_merge() -> None:
    draws = [flat(dare(small_context(seed), DareMethod(rank=FULL)).adapter) for seed in range(300)]
    expected = flat(uniform(small_context(), UniformMethod()).adapter)
    # One draw is off by about sqrt((1 - p) / p) of the sharers' norm over 3; 300 draws by 17 times less.
    single = float((draws[0] - expected).norm() / expected.norm())
    mean = float((torch.stack(draws).mean(dim=0) - expected).norm() / expected.norm())
    assert single > 0.5
    assert mean < single / 10


def test_a_mask_depends_on_seed_sharer_and_layer_alone() -> None:
    context = small_context()
    again = dare(context, DareMethod(rank=FULL))
    assert again.adapter is not None
    assert again.adapter.digest == dare(context, DareMethod(rank=FULL)).adapter.digest  # type: ignore[union-attr]
    assert not flat(again.adapter).equal(flat(dare(small_context(2), DareMethod(rank=FULL)).adapter))
    # What two sharers contribute does not change when a third one is left out.
    alone = [dare(replace(context, sharers=(name,)), DareMethod(rank=FULL)) for name in SHARERS]
    together = torch.stack([flat(one.adapter) for one in alone]).mean(dim=0)
    torch.testing.assert_close(flat(again.adapter), together, atol=1e-4, rtol=1e-4)
