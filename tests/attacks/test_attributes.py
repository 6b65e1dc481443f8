"""Attribute inference: known answers, ties, small classes, calibration and power."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from attacks import Change, cosine_kernel, kernel_inference, vote_inference, weights_kernel
from attacks.attributes import AttributeInference
from attacks.unmerge import combined

RNG = np.random.default_rng


def blocks(sizes: tuple[int, ...], inside: float) -> tuple[np.ndarray, list[str]]:
    """Users who resemble those of their class by a given cosine, and nobody else."""
    labels = [f"c{place}" for place, size in enumerate(sizes) for _ in range(size)]
    same = np.array(labels)[:, None] == np.array(labels)[None]
    return np.where(same, inside, 0.0) + (1 - inside) * np.eye(len(labels)), labels


class TestKernel:
    def test_users_like_their_class_are_all_guessed_right(self) -> None:
        kernel, labels = blocks((3, 3, 4), 0.2)
        found = kernel_inference(kernel, labels, RNG(0))
        assert found.accuracy == 1.0
        assert found.majority == 0.4
        assert found.correct.tolist() == [1.0] * 10
        # 10! / (3! 3! 4! 2!) ways.
        assert found.p is not None
        assert found.p <= 0.005
        assert found.reason == ""

    def test_guesses_are_those_of_scikit_learn_without_each_user(self) -> None:
        draw, labels = RNG(4).normal(size=(10, 3)), list("aaaabbbccc")
        kernel = draw @ draw.T
        guesses = []
        for left in range(10):
            keep = [place for place in range(10) if place != left]
            size = {c: sum(labels[j] == c for j in keep) for c in "abc"}
            coded = np.array([[(labels[i] == c) / size[c] - 1 / 9 for c in "abc"] for i in keep])
            model = KernelRidge(alpha=1.0, kernel="precomputed").fit(kernel[np.ix_(keep, keep)], coded)
            guesses.append("abc"[int(np.argmax(model.predict(kernel[left, keep][None])))])
        right = [float(guess == label) for guess, label in zip(guesses, labels, strict=True)]
        assert 0 < sum(right) < 10
        assert kernel_inference(kernel, labels, RNG(0), 20).correct.tolist() == right

    def test_users_with_nothing_in_common_are_a_tie(self) -> None:
        found = kernel_inference(np.eye(8), list("aaaabbbb"), RNG(0))
        assert found.accuracy == 0.5
        assert found.p == 1.0

    def test_small_classes_are_left_out_and_counted(self) -> None:
        kernel, labels = blocks((4, 4, 2), 0.5)
        found = kernel_inference(kernel, labels, RNG(0))
        assert len(found.correct) == 8
        assert found.reason == "2 of 10 users left out: fewer than 3 of their class"

    @pytest.mark.parametrize("sizes", [(2, 2, 2), (6,), (6, 2)])
    def test_too_few_of_a_class_are_undefined(self, sizes: tuple[int, ...]) -> None:
        kernel, labels = blocks(sizes, 0.5)
        found = kernel_inference(kernel, labels, RNG(0))
        assert (found.accuracy, found.majority, found.p) == (None, None, None)
        enough = sum(size >= 3 for size in sizes)
        assert found.reason == f"undefined: needs 2 classes of 3 users, has {enough}"

    def test_no_test_is_made_that_cannot_reach_its_level(self) -> None:
        """Two classes of three are told apart in 20 ways, and 10 where their names mean nothing."""
        kernel, labels = blocks((3, 3), 0.5)
        found = kernel_inference(kernel, labels, RNG(0))
        assert found.accuracy == 1.0
        assert found.p is None
        assert found.reason == "no test: 10 ways to give out the classes"
        kernel, labels = blocks((3, 4), 0.5)
        assert kernel_inference(kernel, labels, RNG(0)).p is not None

    def test_what_does_not_belong_together_is_refused(self) -> None:
        with pytest.raises(ValueError, match="kernel: needs finite values, 3 by 3"):
            kernel_inference(np.eye(4), list("aab"), RNG(0))
        with pytest.raises(ValueError, match="kernel: needs finite values"):
            kernel_inference(np.full((3, 3), np.nan), list("aab"), RNG(0))


def modules(rng: np.random.Generator, classes: int, each: int, shared: float) -> list[Change]:
    """Low-rank changes of two layers that share part of their factors within a class."""

    def change(common: list[tuple[np.ndarray, np.ndarray]]) -> Change:
        factors = {}
        for layer, (a, b) in enumerate(common):
            own = rng.normal(size=(2, 12)), rng.normal(size=(10, 2))
            factors[f"l{layer}"] = (shared * a + own[0], shared * b + own[1])
        return Change(factors)

    found = []
    for _ in range(classes):
        common = [(rng.normal(size=(2, 12)), rng.normal(size=(10, 2))) for _ in range(2)]
        found += [change(common) for _ in range(each)]
    return found


def names(classes: int, each: int) -> list[str]:
    return [f"c{place}" for place in range(classes) for _ in range(each)]


def small_p(shared: float, rounds: int, draws: int) -> int:
    count = 0
    for seed in range(rounds):
        rng = RNG([seed, rounds])
        kernel = cosine_kernel(modules(rng, 3, 4, shared))
        found = kernel_inference(kernel, names(3, 4), rng, draws)
        count += found.p is not None and found.p <= 0.05
    return count


def test_cosines_are_those_of_the_changes() -> None:
    first, second = modules(RNG(1), 1, 2, 0.0)
    third = combined([first, second], [1.0, 0.0])
    kernel = cosine_kernel([first, second, third])
    dense = [
        np.concatenate([(one.scaling * b @ a).ravel() for a, b in one.factors.values()])
        for one in (first, second)
    ]
    cosine = dense[0] @ dense[1] / np.linalg.norm(dense[0]) / np.linalg.norm(dense[1])
    assert kernel[0, 1] == pytest.approx(cosine, abs=1e-12)
    assert kernel[0, 2] == pytest.approx(1.0, abs=1e-12)


def test_modules_that_share_nothing_are_seldom_told_apart() -> None:
    """At most the 99.9 % point of 100 draws at 5 %."""
    assert small_p(0.0, 100, 99) <= 12


@pytest.mark.long
def test_chance_is_found_at_most_once_in_twenty() -> None:
    assert small_p(0.0, 2000, 199) <= 131


def test_modules_that_share_something_are_told_apart() -> None:
    assert small_p(1.0, 20, 99) >= 19


class TestVotes:
    def test_the_class_with_most_votes_is_the_guess(self) -> None:
        votes = np.array([[2.0, 1.0], [0.5, 0.7], [1.0, 0.0]])
        found = vote_inference(votes, ["a", "b", "b"], ["a", "b"], RNG(0))
        assert found.correct.tolist() == [1.0, 1.0, 0.0]
        assert found.majority == pytest.approx(2 / 3)

    def test_classes_with_as_many_votes_share_the_guess(self) -> None:
        found = vote_inference(np.array([[1.0, 1.0, 0.0], [0, 0, 0]]), ["a", "c"], list("abc"), RNG(0))
        assert found.correct.tolist() == [0.5, pytest.approx(1 / 3)]

    def test_a_sharer_with_a_negative_weight_votes_against(self) -> None:
        found = vote_inference(np.array([[-1.0, 0.2]]), ["b"], ["a", "b"], RNG(0))
        assert found.correct.tolist() == [1.0]

    def test_an_attribute_that_nobody_has_a_vote_for_is_never_guessed(self) -> None:
        found = vote_inference(np.ones((2, 1)), ["z", "a"], ["a"], RNG(0))
        assert found.correct.tolist() == [0.0, 1.0]

    def test_p_is_exact_for_four_users(self) -> None:
        """All right, in 1 of the 24 ways to give out four different attributes."""
        found = vote_inference(np.eye(4), list("abcd"), list("abcd"), RNG(0), 6000)
        assert found.p == pytest.approx(1 / 24, abs=0.01)

    def test_nothing_can_be_tested_where_all_are_alike(self) -> None:
        found = vote_inference(np.eye(2), ["a", "a"], ["a", "b"], RNG(0))
        assert (found.accuracy, found.majority, found.p) == (0.5, 1.0, None)
        assert vote_inference(np.zeros((0, 1)), [], ["a"], RNG(0)).accuracy is None

    def test_votes_must_match_users_and_classes(self) -> None:
        with pytest.raises(ValueError, match="votes: needs finite values, 2 by 2"):
            vote_inference(np.ones((2, 1)), ["a", "b"], ["a", "b"], RNG(0))

    @staticmethod
    def small(rounds: int, draws: int) -> int:
        found: list[AttributeInference] = []
        for seed in range(rounds):
            rng = RNG([seed, rounds])
            labels = [str(label) for label in rng.integers(0, 3, 12)]
            found.append(vote_inference(rng.normal(size=(12, 3)), labels, list("012"), rng, draws))
        return sum(one.p is not None and one.p <= 0.05 for one in found)

    def test_votes_at_random_are_seldom_seen(self) -> None:
        assert self.small(200, 199) <= 20

    @pytest.mark.long
    def test_votes_at_random_are_seen_at_most_once_in_twenty(self) -> None:
        assert self.small(2000, 199) <= 131


class TestWeights:
    def test_whose_weight_it_is_does_not_count(self) -> None:
        kernel = weights_kernel([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        assert kernel is not None
        np.testing.assert_allclose(kernel[0], kernel[1])
        assert kernel[0, 2] < 0

    def test_weights_that_never_vary_say_nothing(self) -> None:
        assert weights_kernel([[0.5, 0.5], [0.5, 0.5]]) is None

    @staticmethod
    def small(rounds: int, lean: float, draws: int = 99) -> int:
        """Targets of one kind lean on one sharer, and those of the other do not."""
        count = 0
        for seed in range(rounds):
            rng = RNG([seed, rounds])
            weights = rng.normal(0.3, 0.1, size=(12, 3))
            weights[:6, 0] += lean
            kernel = weights_kernel(rng.permuted(weights, axis=1).tolist())
            assert kernel is not None
            found = kernel_inference(kernel, ["a"] * 6 + ["b"] * 6, rng, draws)
            count += found.p is not None and found.p <= 0.05
        return count

    def test_weights_at_random_are_seldom_seen(self) -> None:
        assert self.small(100, 0.0) <= 12

    def test_weights_that_lean_are_seen(self) -> None:
        assert self.small(20, 0.6) >= 19
