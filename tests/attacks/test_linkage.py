"""White-box linkage: known answers, lossy merges, collinear sharers, and how often it names a stranger."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from attacks import Change, Linkage, link
from attacks.arrays import FloatArray
from attacks.changes import factor_products, inner_products
from attacks.gram_fit import Grams, fit, jackknife, least_cosine, threshold
from attacks.linkage import Space
from attacks.statistics.intervals import mean_interval
from attacks.unmerge import combined

LAYERS, D_OUT, D_IN = 8, 20, 24


def module(
    rng: np.random.Generator, rank: int = 4, scaling: float = 1.0, layers: int = LAYERS, wide: int = D_IN
) -> Change:
    factors = {
        f"l{k}": (rng.normal(size=(rank, wide)), rng.normal(size=(D_OUT, rank))) for k in range(layers)
    }
    return Change(factors, scaling)


def factor_merge(modules: Sequence[Change], weights: Sequence[float]) -> Change:
    sums = {
        layer: tuple(
            sum(w * m.factors[layer][side] for w, m in zip(weights, modules, strict=True)) for side in (0, 1)
        )
        for layer in modules[0].factors
    }
    return Change({layer: (np.asarray(a), np.asarray(b)) for layer, (a, b) in sums.items()})


def dense(change: Change, layer: str) -> FloatArray:
    a, b = change.factors[layer]
    return np.asarray(change.scaling * b @ a, dtype=np.float64)


def from_dense(changes: dict[str, FloatArray], rank: int) -> Change:
    factors = {}
    for layer, matrix in changes.items():
        u, s, vh = np.linalg.svd(matrix)
        root = np.sqrt(s[:rank])
        factors[layer] = (root[:, None] * vh[:rank], u[:, :rank] * root)
    return Change(factors)


def named(pool: Sequence[Change]) -> dict[str, Change]:
    return {f"s{k}": change for k, change in enumerate(pool)}


def weights_of(found: Linkage) -> list[float]:
    return [linked.weight.value for linked in found.sharers.values() if linked.weight.value is not None]


def factors_of(found: Linkage) -> list[tuple[float, float]]:
    return [linked.factors for linked in found.sharers.values() if linked.factors is not None]


def who(found: Linkage) -> list[str]:
    return [name for name, linked in found.sharers.items() if linked.named]


def test_inner_products_are_those_of_the_matrices() -> None:
    rng = np.random.default_rng(1)
    changes = [module(rng, rank, scaling) for rank, scaling in ((3, 2.0), (5, 0.5), (1, -1.0))]
    grams = inner_products(changes)
    for place in range(LAYERS):
        matrices = [dense(change, f"l{place}") for change in changes]
        expected = [[(x * y).sum() for y in matrices] for x in matrices]
        np.testing.assert_allclose(grams.products[place], expected, rtol=1e-10)
    assert grams.sizes.tolist() == [D_OUT * D_IN] * LAYERS


def test_inner_products_are_the_same_some_changes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    changes = [module(rng, rank, 0.5 * rank) for rank in (3, 5, 1, 4, 2)]
    whole = inner_products(changes)
    for count in (1, 2, 4):
        monkeypatch.setattr("attacks.changes._AT_ONCE", count)
        found = inner_products(changes)
        np.testing.assert_allclose(found.products, whole.products, rtol=1e-12, atol=1e-12)
        assert np.array_equal(found.sizes, whole.sizes)


def test_the_weights_of_an_exact_merge_are_recovered() -> None:
    rng = np.random.default_rng(2)
    pool = [module(rng, rank, scaling) for rank, scaling in ((4, 1.0), (4, 2.0), (2, 0.5), (6, 3.0))]
    wanted = [0.7, 0.0, -0.2, 1.1]
    found = link(combined(pool, wanted), named(pool))
    assert found.space == "exact"
    np.testing.assert_allclose(weights_of(found), wanted, atol=1e-9)
    assert found.unexplained < 1e-9
    assert who(found) == ["s0", "s2", "s3"]
    assert [linked.votes for linked in found.sharers.values()] == [LAYERS, 0, LAYERS, LAYERS]
    interval = found.sharers["s2"].weight.interval
    assert interval is not None
    assert interval.high - interval.low < 1e-9


def test_least_squares_agrees_with_the_dense_solution() -> None:
    rng = np.random.default_rng(3)
    pool = [module(rng) for _ in range(3)]
    target = module(rng)
    columns = [
        np.concatenate([dense(change, f"l{k}").ravel() for k in range(LAYERS)]) for change in [target, *pool]
    ]
    expected, left, *_ = np.linalg.lstsq(np.stack(columns[1:], axis=1), columns[0])
    found = link(target, named(pool), "exact")
    np.testing.assert_allclose(weights_of(found), expected, atol=1e-9)
    assert found.unexplained == pytest.approx(float(left[0] / (columns[0] @ columns[0])), abs=1e-9)
    # The partial cosine is the classical t statistic in another form, up to the floor.
    gram = np.stack(columns[1:], axis=1)
    error = left[0] * np.diag(np.linalg.inv(gram.T @ gram))
    tangent = expected / np.sqrt(error)
    partial = fit(inner_products([target, *pool])).partial
    np.testing.assert_allclose(partial, tangent / np.sqrt(1 + tangent**2), atol=1e-5)


def test_factor_merges_are_read_from_a_and_b_and_the_product_is_wrong() -> None:
    rng = np.random.default_rng(4)
    pool = [module(rng) for _ in range(4)]
    wanted = [0.5, 0.3, -0.4]
    merged = factor_merge(pool[:3], wanted)
    found = link(merged, named(pool))
    assert found.space == "factor"
    np.testing.assert_allclose(factors_of(found), [(w, w) for w in (*wanted, 0.0)], atol=1e-9)
    np.testing.assert_allclose(weights_of(found), [w * w for w in (*wanted, 0.0)], atol=1e-9)
    assert who(found) == ["s0", "s1", "s2"]
    assert found.unexplained < 1e-9
    product = link(merged, named(pool), "exact")
    # Cross terms are left over, and the sign is lost: the product gives about w².
    np.testing.assert_allclose(weights_of(product)[:3], [0.25, 0.09, 0.16], atol=0.05)
    assert product.unexplained > 0.3


def test_a_rotation_of_the_factors_hides_nothing() -> None:
    rng = np.random.default_rng(17)
    pool = [module(rng, scaling=2.0) for _ in range(5)]
    wanted = [0.5, 0.3, -0.4]
    plain = factor_merge([Change(change.factors) for change in pool[:3]], [w * 2**0.5 for w in wanted])
    merged = from_dense({layer: dense(plain, layer) for layer in plain.factors}, 4)
    found = link(merged, named(pool))
    assert found.space == "rotated"
    assert who(found) == ["s0", "s1", "s2"]
    assert found.unexplained < 1e-9
    np.testing.assert_allclose(weights_of(found), [w * w for w in (*wanted, 0.0, 0.0)], atol=1e-6)
    # Half of the scaling stands in each factor: A holds w √s, and s B holds w / √s of s B.
    signed = np.array(factors_of(found)) / [2**0.5, 0.5**0.5]
    np.testing.assert_allclose(signed, [(w, w) for w in (*wanted, 0.0, 0.0)], atol=1e-6)
    # Without all sharers the factors cannot be turned back; the fit of ΔW still names who is there.
    part = link(merged, named(pool[1:]))
    assert part.space == "exact"
    assert who(part) == ["s1"]
    # The weaker one stands out and is too small a part of the product to be named.
    assert part.sharers["s0"].score > part.threshold
    assert part.sharers["s0"].cosine < part.least


def test_scalings_enter_the_coefficient_of_a_factor_merge() -> None:
    rng = np.random.default_rng(5)
    pool = [module(rng, scaling=2.0), module(rng, scaling=0.5)]
    # As a linear merge of PEFT: √(w s) of each factor, the sign on A alone, so that the diagonal holds w.
    wanted = (0.6, -0.3)
    roots = [np.sqrt(abs(w) * change.scaling) for w, change in zip(wanted, pool, strict=True)]
    plain = [Change(change.factors) for change in pool]
    a = factor_merge(plain, [root * np.sign(w) for root, w in zip(roots, wanted, strict=True)])
    b = factor_merge(plain, roots)
    merged = Change({layer: (a.factors[layer][0], b.factors[layer][1]) for layer in a.factors})
    found = link(merged, named(pool))
    assert found.space == "factor"
    np.testing.assert_allclose(weights_of(found), wanted, atol=1e-9)


def test_a_weight_of_zero_looks_like_a_stranger() -> None:
    rng = np.random.default_rng(6)
    pool = [module(rng) for _ in range(5)]
    merged = combined(pool[:3], [0.5, 0.0, 0.5])
    alone = combined([pool[0], pool[2]], [0.5, 0.5])
    one, other = link(merged, named(pool)), link(alone, named(pool))
    assert who(one) == who(other) == ["s0", "s2"]
    for name in ("s1", "s3", "s4"):
        assert one.sharers[name].score < 1e-3
    assert one.sharers["s1"].score == pytest.approx(other.sharers["s1"].score, abs=1e-3)


def test_an_incomplete_pool_leaves_a_share_and_still_names_who_is_in_it() -> None:
    rng = np.random.default_rng(7)
    pool = [module(rng) for _ in range(8)]
    found = link(combined(pool[:4], [0.25] * 4), named(pool[2:]))
    assert who(found) == ["s0", "s1"]
    assert found.unexplained == pytest.approx(0.5, abs=0.1)


def test_a_cut_by_singular_values_keeps_weights_too_small_and_presence() -> None:
    rng = np.random.default_rng(8)
    pool = [module(rng) for _ in range(6)]
    whole = combined(pool[:3], [0.4, 0.3, 0.3])
    matrices = {layer: dense(whole, layer) for layer in whole.factors}
    found = link(from_dense(matrices, 4), named(pool))
    assert who(found) == ["s0", "s1", "s2"]
    assert 0.2 < weights_of(found)[0] < 0.4
    assert 0.05 < found.unexplained < 0.9


@pytest.mark.parametrize("where", ["product", "factors"])
@pytest.mark.parametrize("how", ["ties", "dare"])
def test_trimmed_and_dropped_merges_show_presence(how: str, where: str) -> None:
    rng = np.random.default_rng(9)
    pool = [module(rng) for _ in range(6)]

    def mixed(arrays: Sequence[NDArray[np.floating]]) -> FloatArray:
        stack = np.stack(list(arrays))
        if how == "dare":
            return np.asarray((stack * (rng.random(stack.shape) < 0.5) / 0.5).sum(axis=0))
        kept = np.where(np.abs(stack) >= np.quantile(np.abs(stack), 0.5), stack, 0.0)
        agree = (np.sign(kept) == np.sign(kept.sum(axis=0))) & (kept != 0)
        return np.asarray((kept * agree).sum(axis=0) / np.maximum(agree.sum(axis=0), 1))

    layers = list(pool[0].factors)
    if where == "product":
        merged = from_dense({k: mixed([dense(change, k) for change in pool[:3]]) for k in layers}, 8)
    else:
        parts = {k: [mixed([c.factors[k][side] for c in pool[:3]]) for side in (0, 1)] for k in layers}
        merged = Change({k: (a, b) for k, (a, b) in parts.items()})
    found = link(merged, named(pool))
    assert found.space == ("exact" if where == "product" else "factor")
    assert who(found) == ["s0", "s1", "s2"]
    assert min(weights_of(found)[:3]) > 0


def test_entries_that_a_merge_dropped_are_not_compared() -> None:
    rng = np.random.default_rng(10)
    merged, other = module(rng, layers=1), module(rng, layers=1)
    a = merged.factors["l0"][0]
    a[:, ::2] = 0
    sides = factor_products([merged, other])
    assert sides is not None
    assert sides[0].sizes.tolist() == [4 * D_IN / 2]
    expected = (a[:, 1::2] * other.factors["l0"][0][:, 1::2]).sum()
    assert sides[0].products[0, 0, 1] == pytest.approx(expected)


def test_collinear_sharers_are_reported_by_the_condition_number() -> None:
    rng = np.random.default_rng(11)
    one, stranger = module(rng), module(rng)
    noise = module(rng)
    twin = combined([one, noise], [1.0, 1e-4])
    found = link(combined([one], [0.5]), {"one": one, "twin": twin, "stranger": stranger})
    assert found.condition > 1e6
    assert link(one, {"one": one, "stranger": stranger}).condition < 2
    assert not found.sharers["stranger"].named
    # What the two have together is determined, each of them is not.
    assert sum(weights_of(found)[:2]) == pytest.approx(0.5, abs=1e-3)
    # Two copies alone in a pool resemble each other as much as the merge resembles them: nobody is named.
    assert who(link(combined([one, stranger], [0.5, 0.5]), {"one": one, "twin": twin})) == []


def test_layers_that_only_some_change_count_as_zero() -> None:
    rng = np.random.default_rng(12)
    pool = [module(rng) for _ in range(3)]
    part = Change({layer: pool[1].factors[layer] for layer in ("l0", "l3")})
    found = link(combined([pool[0], part], [0.5, 0.5]), {"s0": pool[0], "s1": part, "s2": pool[2]})
    np.testing.assert_allclose(weights_of(found), [0.5, 0.5, 0.0], atol=1e-9)
    # A candidate that changes layers which the merge leaves alone is not all in it.
    assert weights_of(link(part, {"s1": pool[1], "s2": pool[2]}))[0] < 0.5


def test_a_jackknife_over_equal_layers_is_the_t_interval_of_their_mean() -> None:
    values = np.random.default_rng(13).normal(size=9)
    without = (values.sum() - values) / 8
    found, expected = jackknife(values.mean(), without), mean_interval(values)
    assert found.interval is not None
    assert expected.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected.interval.low, expected.interval.high)
    )
    short = jackknife(1.0, without[:5])
    assert short.interval is None
    assert short.reason == "interval needs 6 layers, has 5"


def test_the_threshold_is_the_corrected_quantile() -> None:
    assert threshold(1, 10**6) == pytest.approx(1.959964, abs=1e-4)
    assert threshold(1, 6, level=0.1) == pytest.approx(1.812461, abs=1e-6)
    assert threshold(10, 10**6, level=0.1) == pytest.approx(2.575829, abs=1e-4)


def test_few_candidates_must_resemble_the_merge_more() -> None:
    assert least_cosine(0.0, 1) == least_cosine(0.0, 1, one_start=True) == 0.6
    assert least_cosine(0.0, 2) == least_cosine(0.1, 7) == 0.3
    assert least_cosine(0.0, 2, one_start=True) == least_cosine(0.1, 7, one_start=True) == 0.7
    assert least_cosine(0.01, 8, one_start=True) == 0.02
    assert least_cosine(0.25, 7) == least_cosine(0.25, 40) == 0.5
    assert least_cosine(0.01, 8) == 0.02
    assert least_cosine(0.99, 40) == 0.9


def test_the_spread_between_candidates_is_that_of_their_partial_cosines() -> None:
    products = np.eye(4)
    products[1, 2] = products[2, 1] = 0.6
    sizes = np.array([1e12])
    two = products[np.ix_([0, 1, 2], [0, 1, 2])]
    assert fit(Grams(two[None], sizes)).spread[0] == pytest.approx(np.arctanh(0.6), rel=1e-5)
    # Of three pairs one is alike: √(0.36 / 3).
    assert fit(Grams(products[None], sizes)).spread.max() == pytest.approx(np.arctanh(0.12**0.5), rel=1e-5)
    # Alone, a candidate is set against a random direction: 1 / √n.
    one = products[np.ix_([0, 1], [0, 1])]
    assert fit(Grams(one[None], np.array([400.0]))).spread[0] == pytest.approx(0.05)


def strangers(kind: str, seed: int) -> bool:
    """Whether the rule names anybody in a pool that has nothing to do with the merge."""
    rng = np.random.default_rng([14, seed])
    people = [module(rng, rank=3, layers=6) for _ in range(9)]
    weights = rng.normal(size=3).tolist()
    merge: Callable[..., Change] = combined if kind == "exact" else factor_merge
    merged = merge(people[:3], weights)
    space: Space | None = "factor" if kind == "forced" else None
    return bool(who(link(merged, named(people[3:]), space)))


@pytest.mark.parametrize(
    "count", [50, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
@pytest.mark.parametrize("kind", ["exact", "factor", "forced"])
def test_a_pool_of_strangers_is_seldom_named(kind: str, count: int) -> None:
    rate = np.mean([strangers(kind, seed) for seed in range(count)])
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)


def test_people_of_one_base_who_resemble_each_other_are_not_named() -> None:
    rng = np.random.default_rng(15)
    start, common = module(rng), module(rng)

    def person() -> Change:
        own = module(rng)
        return Change(
            {
                k: (
                    start.factors[k][0] + 0.3 * own.factors[k][0],
                    0.7 * common.factors[k][1] + own.factors[k][1],
                )
                for k in own.factors
            }
        )

    people = [person() for _ in range(12)]
    for start_of in range(0, 10):
        merged = combined(people[start_of : start_of + 3], [1 / 3] * 3)
        others = people[:start_of] + people[start_of + 3 :]
        assert who(link(merged, named(others))) == []


def test_people_alike_in_pairs_are_not_named_for_each_other() -> None:
    rng = np.random.default_rng(18)
    wrong = 0
    for _ in range(40):
        kinds = [module(rng) for _ in range(4)]
        # The first four are merged; each has two likenesses among the eight candidates.
        people = [combined([module(rng), kinds[place % 4]], [1.0, 0.4]) for place in range(12)]
        wrong += bool(who(link(combined(people[:4], [0.25] * 4), named(people[4:]))))
    assert wrong <= 40 * (0.05 + 3 * np.sqrt(0.05 * 0.95 / 40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("empty", "pool: there is no candidate"),
        ("zero", "s1: changes nothing"),
        ("shape", "s1: layer l0"),
        ("ranks", "space factor"),
    ],
)
def test_what_cannot_be_compared(change: str, message: str) -> None:
    rng = np.random.default_rng(16)
    merged = module(rng)
    others = {
        "empty": None,
        "zero": Change({k: (a, 0 * b) for k, (a, b) in module(rng).factors.items()}),
        "shape": module(rng, wide=D_IN + 1),
        "ranks": module(rng, rank=2),
    }
    other = others[change]
    pool = {} if other is None else {"s0": module(rng), "s1": other}
    with pytest.raises(ValueError, match=message):
        link(merged, pool, "factor")
