import math
from collections.abc import Callable

import pytest
import torch
from peft.utils.merge_utils import dare_linear as peft_dare_linear
from peft.utils.merge_utils import dare_ties as peft_dare_ties
from peft.utils.merge_utils import ties as peft_ties

from prime_audit.modules import LoraModule, export
from prime_audit.modules.dense import change, disjoint_mean, drop, elect_signs, low_rank, trim, trim_threshold

MakeModule = Callable[..., LoraModule]


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_change_is_scaling_times_b_a() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [0.0], [-1.0]])
    module = LoraModule(rank=4, alpha=8.0, rslora=True, factors={"layer": (a, b)})
    assert change(module, "layer").tolist() == [[12.0, 24.0], [0.0, 0.0], [-4.0, -8.0]]


def test_a_small_merge_by_hand() -> None:
    one = torch.tensor([3.0, -2.0, 0.1, 4.0, 0.0])
    two = torch.tensor([-1.0, -4.0, 0.2, 0.3, -4.0])
    three = torch.tensor([2.0, 5.0, -0.1, -4.0, 0.5])
    # The two largest of five each: 3 and 4; -4 and -4; 5 and -4.
    thresholds = [trim_threshold(lambda one=tensor: [one], 0.4) for tensor in (one, two, three)]  # type: ignore[misc]
    assert thresholds == [3.0, 4.0, 4.0]
    kept = torch.stack([trim(t, bound) for t, bound in zip((one, two, three), thresholds, strict=True)])
    assert kept.tolist() == [[3, 0, 0, 4, 0], [0, -4, 0, 0, -4], [0, 5, 0, -4, 0]]
    # Sums: 3, 1, 0 (nothing left), 0 (they cancel), -4.
    signs = elect_signs(kept)
    assert signs.tolist() == [1, 1, 0, 0, -1]
    # The mean is over those that agree: in the second place only 5 is positive.
    assert disjoint_mean(kept, signs).tolist() == [3, 5, 0, 0, -4]
    agreeing = torch.stack([torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([0.0])])
    assert disjoint_mean(agreeing, elect_signs(agreeing)).tolist() == [1.5]


@pytest.mark.parametrize("density", [0.001, 0.2, 0.37, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1e-5, 3e8])
def test_the_threshold_over_many_tensors_is_that_of_a_full_sort(density: float, scale: float) -> None:
    parts = [scale * random(seed, 7 + seed, 11) for seed in range(5)]
    every = torch.cat([part.flatten() for part in parts]).abs().sort(descending=True).values
    expected = float(every[max(1, int(density * len(every))) - 1])
    assert trim_threshold(lambda: parts, density) == expected


def test_ties_at_the_threshold_stay_and_zeros_are_no_trouble() -> None:
    tied = torch.tensor([2.0, -2.0, 2.0, 1.0])
    assert trim_threshold(lambda: [tied], 0.25) == 2.0
    assert trim(tied, 2.0).tolist() == [2.0, -2.0, 2.0, 0.0]
    sparse = torch.tensor([0.0, 0.0, 0.0, 5.0])
    assert trim_threshold(lambda: [sparse], 0.5) == 0.0
    assert trim(sparse, 0.0).tolist() == sparse.tolist()


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_ties_equals_pefts_on_all_layers_in_one_tensor(density: float) -> None:
    models = [[random(10 * model + layer, 6, 9 + layer) for layer in range(3)] for model in range(3)]
    thresholds = [trim_threshold(lambda one=layers: one, density) for layers in models]  # type: ignore[misc]
    ours = []
    for layer in range(3):
        kept = torch.stack(
            [trim(layers[layer], bound) for layers, bound in zip(models, thresholds, strict=True)]
        )
        ours.append(disjoint_mean(kept, elect_signs(kept)).flatten())
    flat = [torch.cat([tensor.flatten() for tensor in layers]) for layers in models]
    theirs = peft_ties(flat, torch.ones(3), density)
    torch.testing.assert_close(torch.cat(ours), theirs, atol=1e-6, rtol=0)


def test_dare_equals_pefts_under_the_same_draws() -> None:
    changes = [random(seed, 8, 12) for seed in range(3)]
    generator = torch.Generator().manual_seed(5)
    kept = torch.stack([drop(tensor, 0.4, generator) for tensor in changes])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        linear = peft_dare_linear(changes, torch.full((3,), 1 / 3), 0.4)
        torch.manual_seed(5)
        elected = peft_dare_ties(changes, torch.ones(3), 0.4)
    torch.testing.assert_close(kept.mean(dim=0), linear, atol=1e-6, rtol=0)
    torch.testing.assert_close(disjoint_mean(kept, elect_signs(kept)), elected, atol=1e-6, rtol=0)


def test_dropping_keeps_the_share_and_the_expectation() -> None:
    tensor, draws, density = random(0, 20, 20), 2000, 0.3
    generator = torch.Generator().manual_seed(1)
    kept = torch.stack([drop(tensor, density, generator) for _ in range(draws)])
    assert float((kept != 0).float().mean()) == pytest.approx(density, abs=0.005)
    # An entry's mean over masks has standard error |x| sqrt((1 - p) / (p draws)).
    errors = (kept.mean(dim=0) - tensor).abs() / (tensor.abs() * math.sqrt((1 - density) / (density * draws)))
    assert float(errors.max()) < 5
    assert float(errors.square().mean()) == pytest.approx(1, abs=0.3)
    assert drop(tensor, 1.0, generator).equal(tensor)


def test_the_cut_keeps_the_largest_singular_values_and_says_what_is_lost() -> None:
    module, error = low_rank([("layer", torch.diag(torch.tensor([3.0, -1.0, 2.0])))], 2)
    assert error == pytest.approx(1 / math.sqrt(14))
    torch.testing.assert_close(change(module, "layer"), torch.diag(torch.tensor([3.0, 0.0, 2.0])))
    assert (module.rank, module.scaling) == (2, 1.0)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
def test_the_cut_is_the_best_of_its_rank_and_balanced(shape: tuple[int, int]) -> None:
    dense = random(3, *shape)
    module, error = low_rank([("layer", dense)], 3)
    u, s, vh = torch.linalg.svd(dense.double(), full_matrices=False)
    best = (u[:, :3] * s[:3]) @ vh[:3]
    torch.testing.assert_close(change(module, "layer"), best.float(), atol=1e-5, rtol=0)
    assert error == pytest.approx(float(s[3:].norm() / s.norm()), rel=1e-6)
    a, b = module.factors["layer"]
    torch.testing.assert_close(a @ a.T, torch.diag(s[:3]).float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(b.T @ b, torch.diag(s[:3]).float(), atol=1e-5, rtol=0)


def test_full_rank_loses_nothing_and_small_layers_are_padded() -> None:
    layers = [("wide", random(0, 4, 9)), ("narrow", random(1, 8, 6)), ("zero", torch.zeros(5, 5))]
    module, error = low_rank(layers, 8)
    assert error < 1e-7
    for name, dense in layers:
        assert [t.shape for t in module.factors[name]] == [(8, dense.shape[1]), (dense.shape[0], 8)]
        torch.testing.assert_close(change(module, name), dense, atol=1e-5, rtol=0)
    nothing, error = low_rank([("zero", torch.zeros(3, 4))], 2)
    assert (nothing.norm(), error) == (0.0, 0.0)
    assert all(bool(t.isfinite().all()) for t in nothing.factors["zero"])


def test_a_dense_merge_of_low_rank_survives_the_way_back(make_module: MakeModule) -> None:
    modules = [make_module(0, rank=3), make_module(1, rank=2, rslora=True)]
    expected = export(modules, [0.5, -0.7])
    dense = [
        (name, 0.5 * change(modules[0], name) - 0.7 * change(modules[1], name)) for name in expected.factors
    ]
    module, error = low_rank(dense, 5)
    assert error < 1e-6
    assert module.rank == expected.rank
    for name in expected.factors:
        torch.testing.assert_close(change(module, name), change(expected, name), atol=1e-5, rtol=1e-5)
