from collections.abc import Callable

import pytest
import torch

from prime_audit.errors import ModelError
from prime_audit.modules import LoraModule
from prime_audit.modules.lora import check_fit, common_layers

Make = Callable[..., LoraModule]


def test_scaling_is_alpha_over_rank_or_over_its_root() -> None:
    assert LoraModule(4, 8.0, False, {}).scaling == 2.0
    assert LoraModule(4, 8.0, True, {}).scaling == 4.0


def test_norm_is_that_of_the_dense_change(make_module: Make) -> None:
    module = make_module(0, rank=3, alpha=5.0, rslora=True)
    dense = sum(
        float((module.scaling * b.double() @ a.double()).square().sum()) for a, b in module.factors.values()
    )
    assert module.norm() == pytest.approx(dense**0.5, rel=1e-9)
    zero = LoraModule(3, 5.0, False, {"x": (torch.ones(3, 4), torch.zeros(5, 3))})
    assert zero.norm() == 0.0


def test_the_digest_follows_content(make_module: Make) -> None:
    module = make_module(0)
    assert module.digest == make_module(0).digest
    assert len({module.digest, make_module(1).digest, make_module(0, alpha=4.0).digest}) == 3


def test_mixed_targets_are_refused_by_name(make_module: Make) -> None:
    with pytest.raises(ModelError, match=r"mixed targets.*k_proj"):
        common_layers([make_module(0), make_module(1, targets="qvo")])
    with pytest.raises(ModelError, match="no module to merge"):
        common_layers([])


def test_two_bases_are_refused_with_both_shapes(make_module: Make) -> None:
    wide = LoraModule(2, 2.0, False, {"layer": (torch.zeros(2, 7), torch.zeros(8, 2))})
    long = LoraModule(2, 2.0, False, {"layer": (torch.zeros(2, 6), torch.zeros(5, 2))}, origin="pool/ann")
    with pytest.raises(
        ModelError,
        match="modules 0 and pool/ann are for different bases: layer layer is 8 x 7 in one and 5 x 6",
    ):
        common_layers([wide, wide, long])


def test_layers_come_in_natural_order() -> None:
    pair = (torch.zeros(2, 7), torch.zeros(8, 2))
    names = ["h.2.k", "h.2.q", "h.10.k", "h.10.q", "x"]
    assert common_layers([LoraModule(2, 2.0, False, {name: pair for name in sorted(names)})]) == names


def test_another_base_is_refused_with_both_shapes(make_module: Make) -> None:
    model = torch.nn.Module()
    model.layer = torch.nn.Linear(6, 5)
    odd = LoraModule(2, 2.0, False, {"layer": (torch.zeros(2, 7), torch.zeros(8, 2))})
    with pytest.raises(ModelError, match="layer is 5 x 6 in the model and 8 x 7 in the module"):
        check_fit(odd, model)
    with pytest.raises(ModelError, match=r"no layer model\.layers"):
        check_fit(make_module(0), model)
