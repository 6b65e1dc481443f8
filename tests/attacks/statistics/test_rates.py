import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import roc_curve

from attacks.statistics import (
    auc,
    clopper_pearson,
    hull_auc,
    nonmembers_needed,
    roc,
    tpr_at_fpr,
    tpr_interval,
)


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


class TestRateInterval:
    def test_it_is_the_exact_interval_of_the_accepted_members(self) -> None:
        nonmembers = np.arange(300.0)
        # Three non-members of 300 may be accepted: the threshold lies above 296.
        members = np.array([*([296.5] * 8), *([100.0] * 12)])
        found = tpr_interval(members, nonmembers, 0.01)
        exact = clopper_pearson(8, 20)
        assert found.value == tpr_at_fpr(members, nonmembers, 0.01) == 0.4
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == (exact.low, exact.high)
        assert found.interval.how == "Clopper-Pearson, given the threshold"

    def test_the_nonmembers_alone_decide_the_threshold(self) -> None:
        # Otherwise the members' count would not be binomial.
        rng = np.random.default_rng(5)
        nonmembers = rng.normal(size=300)
        cut = np.sort(nonmembers)[-4]
        for _ in range(20):
            members = rng.normal(0.5, 1, 40)
            assert tpr_at_fpr(members, nonmembers, 0.01) == np.mean(members > cut)

    def test_no_accepted_member_is_no_certainty(self) -> None:
        found = tpr_interval(np.zeros(100), np.arange(1.0, 301.0), 0.01)
        assert found.value == 0
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((0, 0.0362), abs=5e-5)

    def test_a_rate_that_is_not_resolved_is_undefined(self) -> None:
        found = tpr_interval(np.ones(50), np.zeros(299), 0.01)
        assert (found.value, found.interval) == (None, None)
        assert found.reason == "undefined: needs 300 non-members, has 299"
        with pytest.raises(ValueError, match=r"rate: must lie in \(0, 1\]"):
            tpr_interval(np.ones(50), np.zeros(299), 0.0)

    @pytest.mark.parametrize("draws", [pytest.param(100), pytest.param(2000, marks=pytest.mark.long)])
    def test_it_covers_the_rate_at_its_threshold(self, draws: int) -> None:
        rng = np.random.default_rng(6)
        covered = 0
        for _ in range(draws):
            members, nonmembers = rng.normal(1, 1, 60), rng.normal(size=100)
            interval = tpr_interval(members, nonmembers, 0.1).interval
            assert interval is not None
            covered += interval.low <= norm.sf(np.sort(nonmembers)[-11] - 1) <= interval.high
        # An exact interval is cautious, so only the lower limit binds.
        assert covered >= (0.93 * draws if draws == 2000 else binom.ppf(0.001, draws, 0.95))


class TestHull:
    @pytest.mark.parametrize(
        ("members", "nonmembers", "area"),
        [
            ([1, 3], [0, 2], 0.875),  # the AUC is .75; the hull cuts the corner at (1/2, 1/2)
            ([1, 1, 0], [1, 0, 0], 2 / 3),
            ([2, 3], [0, 1], 1.0),
            ([0, 1], [2, 3], 0.5),  # a signal turned over: the AUC is 0
            ([5, 5], [5, 5], 0.5),
        ],
    )
    def test_known_areas(self, members: list[float], nonmembers: list[float], area: float) -> None:
        assert hull_auc(np.array(members, float), np.array(nonmembers, float)) == pytest.approx(area)

    @pytest.mark.parametrize(("size", "area"), [(20, 0.616), (50, 0.575), (100, 0.548)])
    def test_the_hull_sees_a_leak_in_noise_and_the_auc_does_not(self, size: int, area: float) -> None:
        rng = np.random.default_rng(7)
        pairs = [(rng.normal(size=size), rng.normal(size=size)) for _ in range(400)]
        hulls, areas = (np.array([of(*pair) for pair in pairs]) for of in (hull_auc, auc))
        assert hulls.mean() == pytest.approx(area, abs=0.015)
        assert abs(areas.mean() - 0.5) < 4 * areas.std() / np.sqrt(400)
        assert (hulls >= areas - 1e-12).all()
        assert hulls.min() >= 0.5 - 1e-12
