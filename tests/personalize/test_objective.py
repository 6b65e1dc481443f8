from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from prime_audit.config import PrimeMethod, Space
from prime_audit.errors import ConfigError
from prime_audit.models import predict, score_labels
from prime_audit.modules import LoraModule, export, merged_into
from prime_audit.personalize import TargetContext
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.objective import Evaluation, Objective, summed
from prime_audit.personalize.privacy import MembershipGap, relative_norm, same_distribution
from prime_audit.utility import agreement, score

MakeContext = Callable[..., TargetContext]
CANDIDATES = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.4, -0.7, 1.1]])


def objective(context: TargetContext, **settings: object) -> Objective:
    method = PrimeMethod.model_validate(settings)
    mixture = Mixture(context.modules(), method.space, per_layer=method.per_layer)
    return Objective(context, mixture, method, context.target.history, "search")


def outputs(context: TargetContext, weights: np.ndarray) -> list[str]:
    """The same answers the slow way: the merge put into the weights."""
    prompts = [context.plain_prompt(item) for item in context.target.history]
    model = merged_into(context.base, export(context.modules(), weights.tolist()))
    return predict(model, context.task, prompts)


@pytest.mark.parametrize("kind", ["text", "number", "choice"])
def test_utility_and_similarity_are_those_of_the_merged_models(make_context: MakeContext, kind: str) -> None:
    context = make_context(kind)
    golds = [item.answer or "" for item in context.target.history]
    alone = [outputs(context, row) for row in np.eye(3)]
    found = objective(context).evaluate(CANDIDATES)
    for row, one in zip(CANDIDATES, found, strict=True):
        said = outputs(context, row)
        assert one.utility == pytest.approx(score(context.task, said, golds).per_item)
        expected = np.mean([agreement(context.task, said, other) for other in alone], axis=0)
        assert one.penalty == pytest.approx(expected)
        assert one.point.items == 10
        assert one.value(0.3) == pytest.approx(one.utility.mean() - 0.3 * expected.mean())


def test_chosen_items_are_those_of_the_whole(make_context: MakeContext) -> None:
    full = objective(make_context()).evaluate(CANDIDATES)
    part = objective(make_context()).evaluate(CANDIDATES, np.array([7, 2]))
    for whole, some in zip(full, part, strict=True):
        assert some.utility == pytest.approx(whole.utility[[7, 2]])
        assert some.penalty == pytest.approx(whole.penalty[[7, 2]])
        assert some.joined(some).items == 4


@pytest.mark.parametrize("kind", ["number", "choice"])
def test_the_log_likelihood_of_a_label_is_among_the_labels(make_context: MakeContext, kind: str) -> None:
    context = make_context(kind)
    (base,) = objective(context, utility="log-likelihood").evaluate(np.zeros((1, 3)))
    prompts = [context.plain_prompt(item) for item in context.target.history]
    scores = score_labels(context.base, prompts, context.task.labels)
    for i, item in enumerate(context.target.history):
        place = context.task.labels.index(item.answer or "")
        assert base.utility[i] == pytest.approx(scores[i, place] - np.log(np.exp(scores[i]).sum()), abs=1e-5)


def test_the_log_likelihood_of_a_text_is_a_mean_per_token(make_context: MakeContext) -> None:
    found = objective(make_context(), utility="log-likelihood", privacy="none").evaluate(CANDIDATES)
    assert all((one.utility < 0).all() and not one.penalty.any() for one in found)
    assert len({one.utility.mean() for one in found}) == 3


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("choice", {"accuracy": 0.5, "f1": 0.25}, 0.75),
        ("text", {"rouge_1": 0.4, "rouge_l": 0.3}, 0.7),
        ("number", {"mae": 0.5, "rmse": 1.0}, -1.5),
    ],
)
def test_the_published_sum_has_one_direction(kind: str, raw: dict[str, float], expected: float) -> None:
    assert summed(kind, raw) == pytest.approx(expected)


def test_the_published_objective_sums_both_metrics_of_utility_and_similarity(
    make_context: MakeContext,
) -> None:
    context = make_context("number")
    (one,) = objective(context, utility="sum").evaluate(CANDIDATES[2:])
    said = outputs(context, CANDIDATES[2])
    golds = [item.answer or "" for item in context.target.history]
    raw = score(context.task, said, golds).raw
    assert one.utility == pytest.approx([-raw["mae"] - raw["rmse"]])
    others = [score(context.task, said, outputs(context, row)).raw for row in np.eye(3)]
    assert one.penalty == pytest.approx([np.mean([-other["mae"] - other["rmse"] for other in others])])


def test_excess_similarity_of_the_base_is_nothing(make_context: MakeContext) -> None:
    for settings in ({}, {"utility": "sum"}):
        excess = objective(make_context("choice"), privacy="excess-similarity", **settings)
        plain = objective(make_context("choice"), **settings)
        base, sharer, _ = excess.evaluate(CANDIDATES)
        assert not base.penalty.any()
        already, alike, _ = plain.evaluate(CANDIDATES)
        assert sharer.penalty == pytest.approx(alike.penalty - already.penalty)


def test_equal_distributions_are_alike_and_disjoint_ones_are_not() -> None:
    one, two = np.log([[0.5, 0.5, 1e-300]]), np.log([[1e-300, 1e-300, 1.0]])
    place = np.array([0])
    assert same_distribution([one], [[one]], place) == pytest.approx([1.0])
    assert same_distribution([one], [[two]], place) == pytest.approx([0.0], abs=1e-9)
    assert same_distribution([one], [[one], [two]], place) == pytest.approx([0.5])
    # (.9, .1) and (.5, .5): H(.7, .3) - (H(.9, .1) + ln 2) / 2 = .610864 - .509115 nats.
    p, q = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    assert same_distribution([p], [[q]], place) == pytest.approx([1 - 0.101749 / np.log(2)], abs=1e-5)


@pytest.mark.parametrize("kind", ["text", "choice"])
def test_a_sharer_alone_is_nearest_to_its_own_distributions(make_context: MakeContext, kind: str) -> None:
    context = make_context(kind)
    alone = replace(context, sharers=("a",))
    method = PrimeMethod.model_validate({"privacy": "distribution"})
    mixture = Mixture(alone.modules(), "exact")
    single = Objective(alone, mixture, method, context.target.history, "search")
    itself, base = single.evaluate(np.array([[1.0], [0.0]]))
    assert itself.penalty == pytest.approx(np.ones(10), abs=1e-6)
    assert base.penalty.mean() < 0.99


@pytest.mark.parametrize(("space", "per_layer"), [("exact", False), ("factor", False), ("exact", True)])
def test_the_norm_is_that_of_the_merged_change(
    make_context: MakeContext, modules: dict[str, LoraModule], space: Space, per_layer: bool
) -> None:
    context = make_context()
    mixture = Mixture(context.modules(), space, per_layer=per_layer)
    candidates = np.stack([mixture.spread(row) for row in CANDIDATES])
    mean = np.mean([module.norm() for module in modules.values()])
    expected = [mixture.export(candidate).norm() / mean for candidate in candidates]
    assert relative_norm(mixture, candidates) == pytest.approx(expected, rel=1e-5)
    assert relative_norm(mixture, candidates)[0] == pytest.approx(0.0, abs=1e-6)


def test_the_membership_gap_compares_set_aside_members_with_non_members(make_context: MakeContext) -> None:
    context = make_context(calibration=True)
    mixture = Mixture(context.modules(), "exact")
    gap = MembershipGap(context, mixture)
    found = gap.of(CANDIDATES)
    assert found[0] == pytest.approx(0.0, abs=1e-6)
    assert found[1] > 0
    (one,) = objective(context, privacy="membership-gap").evaluate(CANDIDATES[1:2])
    assert one.penalty == pytest.approx(np.full(10, found[1]))


def test_the_membership_gap_needs_records(make_context: MakeContext) -> None:
    with pytest.raises(ConfigError, match="membership-gap needs records"):
        objective(make_context(), privacy="membership-gap")


@pytest.mark.parametrize("kind", ["text", "choice"])
def test_candidates_share_their_random_numbers(make_context: MakeContext, kind: str) -> None:
    sampled = {"temperature": 1.5, "top_p": 1.0, "repeats": 3}
    context = make_context(kind)
    first, second, other = objective(context, sampling=sampled).evaluate(CANDIDATES[[1, 1, 2]])
    assert np.array_equal(first.utility, second.utility)
    assert np.array_equal(first.penalty, second.penalty)
    assert other.utility.shape == (10,)
    # A search's second look at the same candidate draws the same numbers; another part draws others.
    again = objective(context, sampling=sampled).evaluate(CANDIDATES[1:2])[0]
    assert np.array_equal(again.utility, first.utility)


@pytest.mark.parametrize("kind", ["text", "choice"])
def test_a_temperature_near_zero_is_greedy(make_context: MakeContext, kind: str) -> None:
    context = make_context(kind)
    cold = objective(context, sampling={"temperature": 1e-4, "top_p": 0.9, "repeats": 2})
    for one, greedy in zip(cold.evaluate(CANDIDATES), objective(context).evaluate(CANDIDATES), strict=True):
        assert one.utility == pytest.approx(greedy.utility)
        assert one.penalty == pytest.approx(greedy.penalty)


def test_items_in_another_order_keep_their_figures() -> None:
    one = Evaluation(np.zeros(1), np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), "search", 3)
    turned = one.reordered(np.array([2, 0, 1]))
    assert turned.utility.tolist() == [3.0, 1.0, 2.0]
    assert turned.by_item(1.0).tolist() == [-3.0, -3.0, -3.0]
