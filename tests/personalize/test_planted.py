"""A problem with a known answer, through modules, scoring and search as they are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from prime_audit.config import PrimeMethod
from prime_audit.core import Seeds
from prime_audit.data import Item
from prime_audit.models import predict
from prime_audit.modules import export, merged_into
from prime_audit.personalize import TargetContext
from prime_audit.personalize.mixture import Mixture
from prime_audit.personalize.objective import Objective
from prime_audit.personalize.prime import prime

MakeContext = Callable[..., TargetContext]
PLANTED = (0.9, 0.6, 0.0)  # the target's labels come from sharers a and b in this proportion


@pytest.fixture(scope="module")
def planted(make_context: MakeContext) -> TargetContext:
    """A target whose answers are those of a merge of two of its three sharers."""
    context = make_context("number", items=30)
    # The toy model reads bytes: a short prompt keeps the dense grid affordable.
    context = replace(context, task=replace(context.task, instruction="?", input_name="q", answer_name="a"))
    model = merged_into(context.base, export(context.modules(), PLANTED))
    prompts = [context.plain_prompt(item) for item in context.target.history]
    labels = predict(model, context.task, prompts)
    assert len(set(labels)) > 1
    base = predict(context.base, context.task, prompts)
    assert np.mean([one == two for one, two in zip(base, labels, strict=True)]) < 0.9
    history = tuple(
        Item(item.id, item.input, label) for item, label in zip(context.target.history, labels, strict=True)
    )
    return replace(context, target=replace(context.target, history=history))


@pytest.mark.parametrize("seed", [1, 2])
def test_prime_comes_within_two_percent_of_a_dense_grid(planted: TargetContext, seed: int) -> None:
    settings = PrimeMethod.model_validate({"alpha": 0.0, "budget": 90})
    found = prime(replace(planted, seeds=Seeds(seed)), settings)
    assert not found.reverted
    assert found.adapter is not None
    mixture = Mixture(planted.modules(), "exact")
    objective = Objective(planted, mixture, settings, planted.target.history, "search")
    axis = np.linspace(-1.5, 1.5, 7)
    grid = np.stack([part.ravel() for part in np.meshgrid(axis, axis, axis)], axis=1)
    best = max(one.value(0.0) for one in objective.evaluate(grid))
    (deployed,) = objective.evaluate(np.array([found.weights]))
    assert deployed.value(0.0) >= 0.98 * best
    # The planted merge itself answers everything right.
    assert objective.evaluate(np.array([PLANTED]))[0].value(0.0) == pytest.approx(1.0)
