import numpy as np

from prime_audit.personalize.selection import nearest


def test_the_nearest_sharers_come_first_after_centring() -> None:
    common = np.array([100.0, 100.0, 0.0])  # a large direction that all users share
    targets = {"t": common + np.array([1.0, 0.0, 0.0])}
    sharers = {
        "far": common + np.array([-1.0, 0.0, 0.0]),
        "near": common + np.array([1.0, 0.1, 0.0]),
        "beside": common + np.array([0.0, 1.0, 0.0]),
    }
    selected = nearest(targets, sharers, 2)
    assert list(selected["t"]) == ["near", "beside"]
    assert selected["t"]["near"] > 0.9


def test_ties_go_to_the_earlier_name() -> None:
    vector = np.array([1.0, 0.0])
    selected = nearest({"t": vector}, {"b": -vector, "a": -vector, "c": -vector}, 2)
    assert list(selected["t"]) == ["a", "b"]
