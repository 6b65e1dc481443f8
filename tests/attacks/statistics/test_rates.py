import numpy as np
import pytest
from sklearn.metrics import roc_curve

from attacks.statistics import auc, nonmembers_needed, roc, tpr_at_fpr


def sample(seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members, nonmembers = rng.normal(0.7, 1, 60), rng.normal(0, 1, 80)
    if levels:
        edges = np.linspace(-1, 2, levels - 1)
        members, nonmembers = (np.digitize(x, edges).astype(float) for x in (members, nonmembers))
    return members, nonmembers


@pytest.mark.parametrize("levels", [None, 2, 3, 10])
def test_the_curve_equals_scikit_learn(levels: int | None) -> None:
    members, nonmembers = sample(1, levels)
    fpr, tpr = roc(members, nonmembers)
    labels = np.r_[np.ones(60), np.zeros(80)]
    expected = roc_curve(labels, np.r_[members, nonmembers], drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0], atol=1e-15)
    np.testing.assert_allclose(tpr, expected[1], atol=1e-15)


@pytest.mark.parametrize("levels", [None, 2, 3, 10])
def test_the_curve_runs_from_corner_to_corner_and_its_area_is_the_auc(levels: int | None) -> None:
    members, nonmembers = sample(2, levels)
    fpr, tpr = roc(members, nonmembers)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(members, nonmembers), abs=1e-12)


def test_tied_records_are_accepted_together() -> None:
    fpr, tpr = roc(np.array([1.0, 1, 0]), np.array([1.0, 0, 0]))
    assert fpr.tolist() == pytest.approx([0, 1 / 3, 1])
    assert tpr.tolist() == pytest.approx([0, 2 / 3, 1])


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 0.5), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_the_rate_takes_the_best_threshold_that_keeps_to_it(rate: float, expected: float) -> None:
    # The convex hull gives .75 at .25.
    assert tpr_at_fpr(np.array([1.0, 3.0]), np.array([0.0, 2.0]), rate) == expected


def test_the_rate_is_never_exceeded() -> None:
    # The nearest attainable rate to .04 is .05, the first above it; both break the limit.
    members, nonmembers = np.array([5.0, 9.5, 11.0, 30.0]), np.arange(20.0)
    members[3] = 18.5
    assert tpr_at_fpr(members, nonmembers, 0.04) == 0.0
    assert tpr_at_fpr(members, nonmembers, 0.05) == 0.25


def test_a_constant_score_reaches_nothing_below_one() -> None:
    same = np.ones(5)
    assert tpr_at_fpr(same, same, 0.99) == 0.0
    assert tpr_at_fpr(same, same, 1.0) == 1.0


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 300), (0.1, 30), (0.001, 3000), (1.0, 3)])
def test_low_rates_need_many_nonmembers(rate: float, needed: int) -> None:
    assert nonmembers_needed(rate) == needed
    # With so many, accepting none of them bounds the rate, one-sided at 95 %.
    assert 1 - 0.05 ** (1 / needed) <= rate


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        tpr_at_fpr(np.ones(2), np.ones(2), rate)
    with pytest.raises(ValueError, match="rate"):
        nonmembers_needed(rate)


def test_a_curve_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="nonmembers: there are no scores"):
        roc(np.ones(2), np.ones(0))
