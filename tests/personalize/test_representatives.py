import numpy as np
import pytest
from numpy.typing import NDArray

from prime_audit.errors import DataError
from prime_audit.personalize import representatives

Points = dict[str, NDArray[np.float64]]


def planted() -> Points:
    """Three clusters far apart, of three sharers each: a at 0, b at 100, c at 200."""
    offsets = {"1": -1.0, "2": 0.0, "3": 2.5}
    return {
        f"{name}{k}": np.array([100.0 * i + offset, 0.0])
        for i, name in enumerate("abc")
        for k, offset in offsets.items()
    }


def test_the_longest_history_stands_for_its_cluster() -> None:
    points = planted()
    items = {name: 5 for name in points} | {"a3": 9, "b1": 6, "c2": 7}
    assert representatives(points, items, 3, seed=0) == ("a3", "b1", "c2")


def test_equals_are_told_apart_by_the_centre_then_by_name() -> None:
    points = planted()
    # The centre of -1, 0 and 2.5 is 0.5: the second of each cluster is nearest.
    assert representatives(points, dict.fromkeys(points, 5), 3, seed=0) == ("a2", "b2", "c2")
    twins = {"z": np.array([0.0]), "y": np.array([2.0]), "far": np.array([99.0])}
    assert representatives(twins, dict.fromkeys(twins, 5), 2, seed=0) == ("far", "y")


def test_order_does_not_matter_and_equal_seeds_agree() -> None:
    rng = np.random.default_rng(1)
    points = {f"s{i:02d}": rng.normal(size=3) for i in range(40)}
    items = {name: int(rng.integers(3, 9)) for name in points}
    first = representatives(points, items, 7, seed=3)
    assert len(set(first)) == 7
    assert representatives(dict(reversed(points.items())), items, 7, seed=3) == first


def test_as_many_clusters_as_sharers_keeps_all() -> None:
    points = planted()
    assert representatives(points, dict.fromkeys(points, 1), 9, seed=0) == tuple(sorted(points))


def test_too_few_different_histories_are_refused() -> None:
    points = {"a": np.zeros(2), "b": np.zeros(2), "c": np.ones(2)}
    with pytest.raises(DataError, match="representatives is 3, but K-means finds 2 clusters"):
        representatives(points, dict.fromkeys(points, 1), 3, seed=0)
