"""Merges taken apart without a pool."""

import numpy as np
import pytest

from attacks import Change, coalition, combined, cosine, link, release_difference, slices, without_own


def module(rng: np.random.Generator, rank: int = 3, scaling: float = 1.0) -> Change:
    factors = {f"l{k}": (rng.normal(size=(rank, 14)), rng.normal(size=(10, rank))) for k in range(4)}
    return Change(factors, scaling)


def distance(one: Change, other: Change) -> float:
    """The largest difference of an entry, from the matrices themselves."""
    return max(
        float(np.abs(one.scaling * b @ a - other.scaling * other.factors[k][1] @ other.factors[k][0]).max())
        for k, (a, b) in one.factors.items()
    )


def test_slices_of_a_concatenation_are_the_modules() -> None:
    rng = np.random.default_rng(1)
    pool = [module(rng, rank, 2.0) for rank in (3, 2, 4)]
    parts = slices(combined(pool, [0.5, -0.2, 0.1]), [3, 2, 4])
    for part, own, weight in zip(parts, pool, (0.5, -0.2, 0.1), strict=True):
        assert cosine(part, own) == pytest.approx(np.sign(weight), abs=1e-12)
        assert distance(part, Change(own.factors, own.scaling * weight)) < 1e-12
    with pytest.raises(ValueError, match="add up to 8, layer l0 has rank 9"):
        slices(combined(pool, [1, 1, 1]), [4, 4])


def test_a_coalition_recovers_every_module() -> None:
    rng = np.random.default_rng(2)
    pool = [module(rng) for _ in range(3)]
    weights = rng.normal(size=(4, 3))
    merges = [combined(pool, row.tolist()) for row in weights]
    found = coalition(merges, weights)
    assert max(distance(own, got) for own, got in zip(pool, found, strict=True)) < 1e-12
    with pytest.raises(ValueError, match="do not determine 3 sharers"):
        coalition(merges[:2], weights[:2])
    with pytest.raises(ValueError, match=r"shape \(4, 3\) for 2 merges"):
        coalition(merges[:2], weights)


def test_a_co_sharer_is_left_with_the_others() -> None:
    rng = np.random.default_rng(3)
    own, other = module(rng), module(rng)
    merged = combined([own, other], [0.3, 0.7])
    weight = link(merged, {"own": own, "other": other}).sharers["own"].weight.value
    assert weight is not None
    assert distance(Change(other.factors, 0.7), without_own(merged, own, weight)) < 1e-9
    # Alone in the pool, the own module's weight holds what the two have in common by chance.
    alone = link(merged, {"own": own}).sharers["own"].weight.value
    assert alone == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("renormalised", [False, True])
def test_two_releases_show_who_was_withdrawn(renormalised: bool) -> None:
    rng = np.random.default_rng(4)
    pool = [module(rng) for _ in range(5)]
    before = combined(pool[:4], [0.25] * 4)
    after = combined(pool[:3], [1 / 3 if renormalised else 0.25] * 3)
    left = release_difference(before, after, 4 / 3 if renormalised else 1.0)
    assert distance(Change(pool[3].factors, 0.25), left) < 1e-12
    found = link(left, {str(k): change for k, change in enumerate(pool)})
    assert [name for name, linked in found.sharers.items() if linked.named] == ["3"]
    with pytest.raises(ValueError, match="scale"):
        release_difference(before, after, 0.0)


def test_layers_of_only_one_change_and_a_zero_change() -> None:
    rng = np.random.default_rng(5)
    one = module(rng)
    part = Change({"l1": one.factors["l1"]})
    left = Change({k: (a, b * (k != "l1")) for k, (a, b) in one.factors.items()})
    assert distance(combined([one, part], [1.0, -1.0]), left) < 1e-12
    assert cosine(one, Change(one.factors, 0.0)) == 0.0
