import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score

from attacks.statistics import auc, delong_placements, delong_variance, mid_ranks, roc, same_ranks


def arrays(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.float64) for row in rows]


@pytest.mark.parametrize(
    ("members", "nonmembers", "expected"),
    [
        ([1, 1, 0], [1, 0, 0], 2 / 3),  # dropping all but the first of a tie group gives .222
        ([1, 3], [0, 2], 0.75),
        ([2, 3], [0, 1], 1.0),
        ([0, 1], [2, 3], 0.0),  # a convex hull would report one half
        ([5, 5, 5], [5, 5], 0.5),
        ([1], [1], 0.5),
    ],
)
def test_known_answers(members: list[float], nonmembers: list[float], expected: float) -> None:
    assert auc(*arrays(members, nonmembers)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("shape", [(1,), (2,), (37,), (4, 9), (2, 3, 50), (0,), (3, 0)])
@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
def test_ranks_are_scipys_to_the_last_bit(shape: tuple[int, ...], levels: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        scores = rng.integers(0, levels, shape).astype(float)
        if levels > 1:
            scores[rng.random(shape) < 0.05] = -np.inf
        before = scores.copy()
        assert np.array_equal(mid_ranks(scores), rankdata(scores, axis=-1))
        assert np.array_equal(scores, before)


@pytest.mark.parametrize("levels", [None, 2, 3, 5])
def test_it_equals_scikit_learn_and_scipy_with_and_without_ties(levels: int | None) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        members, nonmembers = rng.normal(1, 1, 30), rng.normal(0, 1, 45)
        if levels:
            edges = np.linspace(-1, 2, levels - 1)
            members, nonmembers = (np.digitize(x, edges).astype(float) for x in (members, nonmembers))
        found = auc(members, nonmembers)
        labels = np.r_[np.ones(30), np.zeros(45)]
        assert found == pytest.approx(roc_auc_score(labels, np.r_[members, nonmembers]), abs=1e-12)
        assert found == pytest.approx(mannwhitneyu(members, nonmembers).statistic / (30 * 45), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2, 4])
def test_it_equals_a_count_of_all_pairs(levels: int | None) -> None:
    rng = np.random.default_rng(4)
    for members, nonmembers in ((rng.normal(0.4, 1, m), rng.normal(0, 1, n)) for m, n in ((1, 9), (37, 50))):
        if levels:
            members, nonmembers = (np.round(x * levels / 2) for x in (members, nonmembers))
        wins = sum((a > b) + 0.5 * (a == b) for a in members for b in nonmembers)
        assert auc(members, nonmembers) == pytest.approx(wins / members.size / nonmembers.size, abs=1e-12)


def area_of_first_rows(members: np.ndarray, nonmembers: np.ndarray) -> float:
    """What comes of keeping the first record of every tie group alone, without the point (0, 0)."""
    scores, label = np.r_[members, nonmembers], np.r_[np.ones(len(members)), np.zeros(len(nonmembers))]
    order = np.argsort(-scores, kind="stable")
    first = np.r_[True, np.diff(scores[order]) != 0]
    tpr, fpr = (np.cumsum(side[order])[first] / side.sum() for side in (label, 1 - label))
    return float(np.trapezoid(tpr, fpr))


@pytest.mark.parametrize("levels", [2, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_ties_are_kept_whole_and_the_curve_starts_at_nothing(levels: int, shift: float) -> None:
    assert area_of_first_rows(*arrays([1, 1, 0], [1, 0, 0])) == pytest.approx(0.222, abs=5e-4)
    rng = np.random.default_rng(5)
    members, nonmembers = (
        np.digitize(rng.normal(mean, 1, 400), np.linspace(-1, 2, levels + 1)[1:-1]).astype(np.float64)
        for mean in (shift, 0.0)
    )
    fpr, tpr = roc(members, nonmembers)
    assert (fpr[0], tpr[0], len(fpr)) == (0.0, 0.0, levels + 1)
    assert auc(members, nonmembers) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12)
    assert auc(members, nonmembers) > area_of_first_rows(members, nonmembers) + 0.05


@pytest.mark.parametrize("size", [20, 50])
def test_noise_gives_one_half_on_average(size: int) -> None:
    # The convex hull gives .616 at 20 + 20 and .575 at 50 + 50.
    rng = np.random.default_rng(2)
    draws = [auc(rng.normal(size=size), rng.normal(size=size)) for _ in range(400)]
    sd = np.sqrt((2 * size + 1) / (12 * size * size))
    assert abs(np.mean(draws) - 0.5) < 4 * sd / np.sqrt(400)
    assert np.std(draws) == pytest.approx(sd, rel=0.15)


def test_placements_are_the_rows_and_columns_of_the_comparison() -> None:
    above, below = delong_placements(*arrays([1, 1, 0], [1, 0, 0]))
    assert above.tolist() == pytest.approx([5 / 6, 5 / 6, 1 / 3])
    assert below.tolist() == pytest.approx([1 / 3, 5 / 6, 5 / 6])


def test_placements_and_variance_equal_a_plain_comparison_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    members, nonmembers = (rng.integers(0, high, (4, n)).astype(np.float64) for high, n in ((6, 11), (5, 7)))
    above, below = delong_placements(members, nonmembers)
    for row in range(4):
        left, right = members[row][:, None], nonmembers[row][None, :]
        wins = (left > right) + 0.5 * (left == right)
        np.testing.assert_allclose(above[row], wins.mean(axis=1), atol=1e-12)
        np.testing.assert_allclose(below[row], wins.mean(axis=0), atol=1e-12)
        expected = np.var(wins.mean(axis=1), ddof=1) / 11 + np.var(wins.mean(axis=0), ddof=1) / 7
        assert delong_variance(above[row], below[row]) == pytest.approx(expected, rel=1e-12)


def test_the_variance_has_a_known_answer() -> None:
    # Placements (.5, 1) and (1, .5): sample variance .125 on both sides.
    above, below = delong_placements(*arrays([1, 3], [0, 2]))
    assert delong_variance(above, below) == pytest.approx(0.125 / 2 + 0.125 / 2)


@pytest.mark.parametrize(
    ("members", "nonmembers", "message"),
    [
        ([], [1], "members: there are no scores"),
        ([1], [], "nonmembers: there are no scores"),
        ([np.nan], [1], "members: a score is not finite"),
        ([1], [np.inf], "nonmembers: a score is not finite"),
    ],
)
def test_missing_and_broken_scores_are_refused(
    members: list[float], nonmembers: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        auc(*arrays(members, nonmembers))


def test_same_ranks_counts_records_of_equal_mid_rank() -> None:
    first, other, tied = arrays([1, 2, 3, 4], [10, 30, 20, 40], [1, 1, 2, 3])
    assert same_ranks(first, np.exp(first)) == 1.0
    assert same_ranks(first, -first) == 0.0
    assert same_ranks(first, other) == 0.5
    assert same_ranks(first, tied) == 0.5
    with pytest.raises(ValueError, match="the signals score 4 and 3 records"):
        same_ranks(first, first[:3])
    with pytest.raises(ValueError, match="there are no scores"):
        same_ranks(first[:0], first[:0])
