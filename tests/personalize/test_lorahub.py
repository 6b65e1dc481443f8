from collections.abc import Callable

import numpy as np
import pytest

from prime_audit.config import LoraHubMethod
from prime_audit.models import Example, score_tokens
from prime_audit.modules import export, merged_into
from prime_audit.personalize import TargetContext
from prime_audit.personalize.lorahub import lorahub, penalised

MakeContext = Callable[..., TargetContext]


def test_the_penalty_is_the_mean_absolute_weight() -> None:
    losses = penalised(np.array([1.0, 2.0]), np.array([[1.0, -2.0, 0.0], [0.5, 0.5, -0.5]]), 0.05)
    assert losses == pytest.approx([1.0 + 0.05 * 1.0, 2.0 + 0.05 * 0.5])


def test_the_recorded_loss_is_that_of_the_merged_model(make_context: MakeContext) -> None:
    context = make_context()
    found = lorahub(context, LoraHubMethod(budget=12))
    assert len(found.points) == 13
    assert found.chosen == 12
    assert "Cobyla" in str(found.notes["optimiser"])
    examples = [
        Example(context.plain_prompt(item), context.task.completion(item.answer or ""))
        for item in context.target.history
    ]
    for point in (found.points[3], found.points[12]):
        model = merged_into(context.base, export(context.modules(), point.weights))
        loss = -score_tokens(model, examples).mean().mean()
        assert -point.utility == pytest.approx(loss, abs=1e-4)
        assert point.similarity == pytest.approx(np.abs(point.weights).mean())
    assert found.weights == pytest.approx(found.points[12].weights)


def test_the_search_lowers_the_penalised_loss(make_context: MakeContext) -> None:
    found = lorahub(make_context(), LoraHubMethod(budget=60, optimiser="cma"))
    losses = [-point.utility + 0.05 * point.similarity for point in found.points]
    assert losses[-1] <= min(losses[:7])


def test_a_large_penalty_keeps_the_weights_small(make_context: MakeContext) -> None:
    small = lorahub(make_context(), LoraHubMethod(budget=60, optimiser="cma", l1=100.0))
    assert np.abs(small.weights).mean() < 0.1
