import numpy as np
import pytest

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


def test_the_choice_for_a_target_ignores_the_other_targets() -> None:
    rng = np.random.default_rng(0)
    sharers = {f"s{i}": rng.normal(size=4) for i in range(6)}
    targets = {f"t{i}": rng.normal(size=4) + 5 * i for i in range(4)}
    together = nearest(targets, sharers, 3)
    for name, vector in targets.items():
        assert nearest({name: vector}, sharers, 3) == {name: together[name]}


def test_the_sharers_alone_are_the_centre() -> None:
    # The sharers' mean is (1, 1): from there the target lies to the right, as does a.
    sharers = {"a": np.array([2.0, 1.0]), "b": np.array([0.0, 1.0])}
    selected = nearest({"t": np.array([9.0, 1.0])}, sharers, 2)
    assert selected == {"t": {"a": 1.0, "b": -1.0}}


def test_only_the_pool_is_selected_from_and_all_sharers_are_the_centre() -> None:
    sharers = {"a": np.array([2.0, 0.0]), "b": np.array([0.0, 2.0]), "c": np.array([-2.0, -2.0])}
    selected = nearest({"t": np.array([3.0, 0.1])}, sharers, 1, pool=["b", "c"])
    # Cosines from the mean (0, 0) and not from the pool's own mean.
    cosine = 0.1 / np.hypot(3.0, 0.1)
    assert list(selected["t"]) == ["b"]
    assert selected["t"]["b"] == pytest.approx(cosine)
