"""Records in lower case, twice in a row, after others: the record's own tokens, in another light."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from attacks import TokenScores
from prime_audit.errors import ModelError
from prime_audit.models import (
    Example,
    LanguageModel,
    leaves_room,
    score_lowercase,
    score_prefixed,
    score_repeated,
    score_tokens,
)
from prime_audit.models import scoring as scoring_module
from prime_audit.modules import AdapterBank, LoraModule, merged_into

Make = Callable[..., LanguageModel]
EXAMPLES = [
    Example("Short:", " Yes"),
    Example("a longer Prompt than the others, to be padded against:", " No, Never"),
    Example("", "only a Completion"),
    Example("empty completion:", ""),
    Example("one token:", "!"),
]
SHOTS = [Example("what:", " this"), Example("and:", " that")]
Variant = Callable[..., TokenScores]


def prefixed(lm: LanguageModel, examples: Sequence[Example], **how: object) -> TokenScores:
    return score_prefixed(lm, examples, SHOTS, **how)  # type: ignore[arg-type]


VARIANTS: list[Variant] = [score_lowercase, score_repeated, prefixed]


def assert_same_tokens(found: TokenScores, plain: TokenScores) -> None:
    np.testing.assert_array_equal(found.offsets, plain.offsets)
    np.testing.assert_array_equal(found.token, plain.token)
    np.testing.assert_array_equal(found.compressed_bytes, plain.compressed_bytes)


def context_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose next-token distribution is one and the same everywhere."""

    def constant(lm: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, **more: object) -> torch.Tensor:
        state = torch.linspace(-1, 1, lm.model.config.hidden_size)
        return state.expand(*ids.shape, -1)

    monkeypatch.setattr(scoring_module, "states_of", constant)


# No letter stands twice in a record, so that the token before tells what comes next.
LETTERS = [Example("abc:", " xyz"), Example("defgh:", " uvw")]


def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that expects what followed the current token when that was last seen, and else anything."""

    def induced(lm: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, **more: object) -> torch.Tensor:
        logits = torch.zeros(*ids.shape, lm.embedding_shape[0])
        for row, tokens in enumerate(ids.tolist()):
            for place, token in enumerate(tokens):
                earlier = [at for at in range(place) if tokens[at] == token]
                if earlier:
                    logits[row, place, tokens[earlier[-1] + 1]] = 20.0
        return logits

    def whole(lm: LanguageModel, states: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        yield slice(0, len(states)), states

    monkeypatch.setattr(scoring_module, "states_of", induced)
    monkeypatch.setattr(scoring_module, "logits_in_blocks", whole)


@pytest.mark.parametrize("loss", ["answer", "full"])
class TestContexts:
    def test_a_repeated_record_keeps_its_tokens_and_sees_its_first_copy(
        self, lm: LanguageModel, loss: str
    ) -> None:
        plain, found = score_tokens(lm, EXAMPLES, loss=loss), score_repeated(lm, EXAMPLES, loss=loss)
        assert_same_tokens(found, plain)
        assert not np.allclose(found.logp, plain.logp, atol=1e-3)
        twice = [Example(f"{one.prompt}{one.completion}\n\n{one.prompt}", one.completion) for one in EXAMPLES]
        expected = score_tokens(lm, twice, loss="answer")
        if loss == "answer":
            np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    def test_a_prefixed_record_keeps_its_tokens_and_sees_the_shots(
        self, lm: LanguageModel, loss: str
    ) -> None:
        plain = score_tokens(lm, EXAMPLES, loss=loss)
        found = score_prefixed(lm, EXAMPLES, SHOTS, loss=loss)
        assert_same_tokens(found, plain)
        assert not np.allclose(found.logp, plain.logp, atol=1e-3)
        before = "what: this\n\nand: that\n\n"
        expected = score_tokens(
            lm, [Example(before + one.prompt, one.completion) for one in EXAMPLES], loss="answer"
        )
        if loss == "answer":
            np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    def test_a_model_without_context_sees_no_difference(
        self, lm: LanguageModel, loss: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context_free(monkeypatch)
        plain = score_tokens(lm, EXAMPLES, loss=loss)
        for found in (
            score_repeated(lm, EXAMPLES, loss=loss),
            score_prefixed(lm, EXAMPLES, SHOTS, loss=loss),
        ):
            np.testing.assert_allclose(found.logp, plain.logp, atol=1e-6)

    @pytest.mark.parametrize("variant", VARIANTS, ids=["lowercase", "repeated", "prefixed"])
    def test_the_batch_does_not_matter(self, lm: LanguageModel, variant: Variant, loss: str) -> None:
        whole = variant(lm, EXAMPLES, loss=loss)
        alone = [variant(lm, [one], loss=loss).logp for one in EXAMPLES]
        np.testing.assert_allclose(whole.logp, np.concatenate(alone), atol=1e-5)

    def test_a_model_that_copies_knows_the_second_copy(
        self, lm: LanguageModel, loss: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copies(monkeypatch)
        plain, found = score_tokens(lm, LETTERS, loss=loss), score_repeated(lm, LETTERS, loss=loss)
        for place, one in enumerate(LETTERS):
            # Not EOS: after the first copy stands a blank line. Nor what follows BOS, which was there once.
            text = np.ones(found.lengths[place], dtype=bool)
            text[-1] = False
            text[0] = loss == "answer"
            assert (found.logp[found.record(place)][text] > -0.01).all(), one
            assert (plain.logp[plain.record(place)][text] < -5).all(), one


class TestRoom:
    def test_of_a_first_copy_that_does_not_fit_the_beginning_goes(self, make_lm: Make) -> None:
        long = Example("p" * 30, " answer")
        whole = make_lm(0, 128)
        narrow = replace(whole, max_tokens=60)
        found = score_repeated(narrow, [long])
        assert_same_tokens(found, score_tokens(narrow, [long]))
        # 39 tokens are the record; 21 before it are the end of the first copy.
        context = ("p" * 30 + " answer\n\n")[-21:]
        expected = score_tokens(whole, [Example(context + long.prompt, long.completion)])
        np.testing.assert_allclose(found.logp, expected.logp, atol=1e-5)

    @pytest.mark.parametrize("loss", ["answer", "full"])
    def test_before_a_record_that_fills_the_context_stands_nothing(self, make_lm: Make, loss: str) -> None:
        lm = make_lm(0, 20)
        long = Example("a prompt of many letters", " answer")
        plain, found = score_tokens(lm, [long], loss=loss), score_repeated(lm, [long], loss=loss)
        assert_same_tokens(found, plain)
        np.testing.assert_array_equal(found.logp, plain.logp)

    def test_as_many_whole_shots_as_fit_are_kept(self, make_lm: Make) -> None:
        lm = make_lm(0, 30)
        one = Example("x:", " y")
        shots = [Example("a:", " b"), Example("c:", " d"), Example("eeeeeeeeee:", " ffffffffff")]
        expected = score_prefixed(lm, [one], shots[:2])
        np.testing.assert_array_equal(score_prefixed(lm, [one], shots).logp, expected.logp)

    def test_no_room_for_any_shot_is_refused(self, make_lm: Make) -> None:
        lm = make_lm(0, 12)
        with pytest.raises(ModelError, match=r"a record of 9 tokens leaves no room .* within 12"):
            score_prefixed(lm, [Example("abcde:", "!")], [Example("long shot", " indeed")])

    @pytest.mark.parametrize("size", range(2, 12))
    def test_room_is_foretold(self, make_lm: Make, size: int) -> None:
        lm, one, shot = make_lm(0, 16), Example("abcd:", "!"), Example("x" * (size - 1), "y")
        if leaves_room(lm, [Example("a", "b"), one], shot, "answer"):
            assert len(score_prefixed(lm, [one], [shot])) == 1
        else:
            with pytest.raises(ModelError, match="leaves no room"):
                score_prefixed(lm, [one], [shot])


class TestShots:
    def test_every_record_may_have_shots_of_its_own(self, lm: LanguageModel) -> None:
        rows = [SHOTS[: 1 + place % 2] for place in range(len(EXAMPLES))]
        found = score_prefixed(lm, EXAMPLES, rows)
        for place, (one, row) in enumerate(zip(EXAMPLES, rows, strict=True)):
            alone = score_prefixed(lm, [one], row)
            np.testing.assert_allclose(found.logp[found.record(place)], alone.logp, atol=1e-5)

    def test_their_order_counts(self, lm: LanguageModel) -> None:
        turned = score_prefixed(lm, EXAMPLES, SHOTS[::-1])
        assert not np.allclose(turned.logp, score_prefixed(lm, EXAMPLES, SHOTS).logp, atol=1e-3)

    @pytest.mark.parametrize(
        ("shots", "message"),
        [
            ([], "there is no record to put before record 0"),
            ([SHOTS, SHOTS, [], SHOTS, SHOTS], "there is no record to put before record 2"),
            ([SHOTS], "there are 1 sequences for 5 records"),
            ([SHOTS[0], SHOTS], "not both"),
        ],
        ids=["none", "none of one record", "another number", "mixed"],
    )
    def test_shots_that_fit_no_record_are_refused(
        self, lm: LanguageModel, shots: list[Example], message: str
    ) -> None:
        with pytest.raises(ValueError, match=f"^shots: .*{message}"):
            score_prefixed(lm, EXAMPLES, shots)


@pytest.mark.parametrize("variant", VARIANTS, ids=["lowercase", "repeated", "prefixed"])
class TestEveryVariant:
    def test_an_adapter_counts_as_if_it_were_in_the_weights(
        self, lm: LanguageModel, variant: Variant
    ) -> None:
        module = module_of(lm)
        found = variant(lm, EXAMPLES, adapters=AdapterBank([module]), weights=np.ones((len(EXAMPLES), 1)))
        np.testing.assert_allclose(found.logp, variant(merged_into(lm, module), EXAMPLES).logp, atol=1e-4)
        assert not np.allclose(found.logp, variant(lm, EXAMPLES).logp, atol=1e-3)

    def test_every_row_keeps_its_own_weight(self, lm: LanguageModel, variant: Variant) -> None:
        bank, weights = AdapterBank([module_of(lm)]), np.array([[0.0], [1.0], [0.5], [-1.0], [2.0]])
        found = variant(lm, EXAMPLES, adapters=bank, weights=weights)
        for place, one in enumerate(EXAMPLES):
            alone = variant(lm, [one], adapters=bank, weights=weights[[place]])
            np.testing.assert_allclose(found.logp[found.record(place)], alone.logp, atol=1e-5)

    def test_tokens_are_numbered_as_the_study_does(self, lm: LanguageModel, variant: Variant) -> None:
        # Every number is shared but that of EOS, which each record says once.
        remap = np.full(lm.embedding_shape[0], 7)
        remap[lm.eos_id] = 0
        numbers = variant(lm, EXAMPLES, remap=remap).token
        assert (numbers == 0).sum() == len(EXAMPLES)
        assert set(numbers) == {0, 7}


def module_of(lm: LanguageModel) -> LoraModule:
    generator = torch.Generator().manual_seed(5)
    layers = {
        name: layer
        for name, layer in lm.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and name.endswith(("q_proj", "up_proj"))
    }
    factors = {
        name: (
            torch.randn(2, layer.in_features, generator=generator) * 0.2,
            torch.randn(layer.out_features, 2, generator=generator) * 0.2,
        )
        for name, layer in layers.items()
    }
    return LoraModule(rank=2, alpha=2.0, rslora=False, factors=factors)


def test_lower_case_is_another_text(lm: LanguageModel) -> None:
    found = score_lowercase(lm, EXAMPLES)
    lower = [Example(one.prompt.lower(), one.completion.lower()) for one in EXAMPLES]
    np.testing.assert_array_equal(found.logp, score_tokens(lm, lower).logp)
    same = [Example("no capitals:", " here")]
    np.testing.assert_array_equal(score_lowercase(lm, same).logp, score_tokens(lm, same).logp)
