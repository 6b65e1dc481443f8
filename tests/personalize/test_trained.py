from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from prime_audit.config import (
    AdaptMergedMethod,
    OppuMethod,
    OppuProfileMethod,
    OppuRagMethod,
    PooledMethod,
    TrainingConfig,
)
from prime_audit.data import Item
from prime_audit.models import LanguageModel, score_tokens
from prime_audit.modules import AdapterBank, export, merged_into, train_personal
from prime_audit.personalize import METHODS, TargetContext, carry_out, resolved, stopping_of
from prime_audit.personalize.pooled import pooled_examples
from prime_audit.personalize.starts import similarity_weights
from prime_audit.personalize.trained import own_examples

Make = Callable[..., TargetContext]
TRAINING = TrainingConfig(rank=2, alpha=4, lr=1e-2, epochs=2, target_modules=("q_proj", "v_proj"))


def test_settings_of_a_method_stand_before_the_studys() -> None:
    assert resolved(OppuMethod(), TRAINING) == TRAINING
    own = resolved(OppuMethod(rank=8, lr=0.5, epochs=7), TRAINING)
    # The ratio of alpha to rank stays, and with it how strongly the module acts.
    assert (own.rank, own.alpha, own.lr, own.epochs) == (8, 16.0, 0.5, 7)
    assert resolved(OppuMethod(rank=8, alpha=3.0), TRAINING).alpha == 3.0
    assert stopping_of(OppuMethod()) is None
    stopping = stopping_of(OppuMethod(early_stopping=True, patience=3, held_out=0.4))
    assert stopping is not None
    assert (stopping.held_out, stopping.patience) == (0.4, 3)


class TestExamples:
    def test_a_past_item_sees_earlier_ones_alone(self, make_context: Make) -> None:
        context = make_context(items=6)
        examples = own_examples(context, OppuRagMethod(k=3, retriever="recency"))
        for place, (example, item) in enumerate(zip(examples, context.target.history, strict=True)):
            shown = [
                i for i, other in enumerate(context.target.history) if f"{other.input}\n" in example.prompt
            ]
            assert shown == [*range(max(0, place - 3), place), place]
            assert example.completion == f" {item.answer}"

    def test_earlier_goes_by_date(self, make_context: Make) -> None:
        context = make_context(items=3)
        dated = tuple(
            replace(item, date=date)
            for item, date in zip(context.target.history, ("2013", "2011", "2012"), strict=True)
        )
        context = replace(context, target=replace(context.target, history=dated))
        examples = own_examples(context, OppuRagMethod(k=2))
        assert [example.completion for example in examples] == [f" {dated[i].answer}" for i in (1, 2, 0)]
        assert [sum(f"{i.input}\n" in one.prompt for i in dated) for one in examples] == [1, 2, 3]

    def test_the_profile_stands_in_every_prompt(self, make_context: Make) -> None:
        examples = own_examples(make_context(), OppuProfileMethod())
        assert {example.prompt.split("\n")[0] for example in examples} == {
            "About this person: Often writes of text, words, plain, more, other. Answers have about 2 words."
        }

    def test_a_pool_holds_sharers_first_and_only_those_given(self, make_context: Make) -> None:
        given = {"a": (Item("1", "of a", "x"),), "b": (Item("1", "of b", "y"),)}
        context = replace(make_context(items=2), pooled=given)
        prompts = [example.prompt for example in pooled_examples(context, PooledMethod())]
        assert [
            "of a" in prompts[0],
            "of b" in prompts[1],
            "text 0" in prompts[2],
            "text 1" in prompts[3],
        ] == [True] * 4
        assert len(prompts) == 4


class TestAdaptMerged:
    def test_it_is_the_merge_plus_what_was_trained_on_it(self, make_context: Make, lm: LanguageModel) -> None:
        context = replace(make_context(items=4), training=TRAINING)
        settings = AdaptMergedMethod(rank=1)
        made = carry_out(METHODS["adapt-merged"], context, settings)
        shares = similarity_weights(context, settings.temperature)
        assert made.weights == pytest.approx(shares)
        assert made.sources == context.sharers
        merged = export(context.modules(), shares)
        top, _ = train_personal(
            merged_into(lm, merged),
            own_examples(context, settings),
            resolved(settings, TRAINING),
            context.seeds.integer("train"),
        )
        examples = own_examples(context, settings)
        both = score_tokens(
            lm, examples, adapters=AdapterBank([merged, top]), weights=np.ones((len(examples), 2))
        )
        assert made.adapter is not None
        one = score_tokens(
            lm, examples, adapters=AdapterBank([made.adapter]), weights=np.ones((len(examples), 1))
        )
        np.testing.assert_allclose(one.logp, both.logp, atol=1e-4)
        assert made.notes["own_norm"] == pytest.approx(top.norm())
        assert made.tried == 0

    def test_it_fits_the_target(self, make_context: Make, lm: LanguageModel) -> None:
        context = replace(make_context(items=4), training=TRAINING.model_copy(update={"epochs": 8}))
        examples = own_examples(context, AdaptMergedMethod())

        def loss(settings: object, kind: str) -> float:
            adapter = METHODS[kind].personalise(context, settings).adapter
            assert adapter is not None
            rows = np.ones((len(examples), 1))
            return -float(
                score_tokens(lm, examples, adapters=AdapterBank([adapter]), weights=rows).logp.mean()
            )

        from prime_audit.config import SimilarityMethod

        assert loss(AdaptMergedMethod(), "adapt-merged") < loss(SimilarityMethod(), "similarity")

    def test_stopping_early_is_counted_as_search(self, make_context: Make) -> None:
        context = replace(make_context(items=6), training=TRAINING)
        settings = AdaptMergedMethod(early_stopping=True, held_out=0.3, patience=5)
        made = carry_out(METHODS["adapt-merged"], context, settings)
        assert (made.tried, made.notes["held_out"], made.notes["items"]) == (2, 2, 4)
