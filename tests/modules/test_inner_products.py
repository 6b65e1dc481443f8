from collections.abc import Callable

import numpy as np
import pytest
import torch

from prime_audit.errors import ModelError
from prime_audit.modules import LoraModule, export, gram

MakeModule = Callable[..., LoraModule]
Dense = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def modules(make_module: MakeModule) -> list[LoraModule]:
    """Three modules with other ranks and scalings; the third has a negative one."""
    return [
        make_module(0, rank=4, alpha=8.0),
        make_module(1, rank=2, alpha=3.0, rslora=True),
        make_module(2, rank=5, alpha=-1.0),
    ]


def test_inner_products_are_those_of_the_dense_changes(
    modules: list[LoraModule], dense_change: Dense
) -> None:
    dense = [dense_change([module], [1.0], "exact") for module in modules]
    layers = np.array(
        [
            [[float((left[name] * right[name]).sum()) for right in dense] for left in dense]
            for name in sorted(dense[0])
        ]
    )
    np.testing.assert_allclose(gram(modules, per_layer=True), layers, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gram(modules), layers.sum(axis=0), rtol=1e-9, atol=1e-9)
    assert gram(modules).dtype == np.float64
    np.testing.assert_allclose(np.sqrt(np.diag(gram(modules))), [module.norm() for module in modules])


def test_the_norm_of_every_merge_follows(modules: list[LoraModule]) -> None:
    random = np.random.default_rng(1)
    for weights in random.normal(size=(3, 3)):
        assert weights @ gram(modules) @ weights == pytest.approx(
            export(modules, weights).norm() ** 2, rel=1e-5
        )
    table = random.normal(size=(3, 8))
    squares = np.einsum("il,lij,jl->", table, gram(modules, per_layer=True), table)
    assert squares == pytest.approx(export(modules, table).norm() ** 2, rel=1e-5)


def test_modules_that_do_not_fit_are_refused(make_module: MakeModule) -> None:
    with pytest.raises(ModelError, match="no module to merge"):
        gram([])
    with pytest.raises(ModelError, match="mixed targets"):
        gram([make_module(0), make_module(1, targets="q")])
