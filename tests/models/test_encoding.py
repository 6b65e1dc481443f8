from collections.abc import Callable

import pytest

from prime_audit.models import Example, LanguageModel, as_read, encode
from prime_audit.models.encoding import encode_prompts

Make = Callable[..., LanguageModel]


def _ids(lm: LanguageModel, text: str) -> list[int]:
    ids: list[int] = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def test_bos_prompt_completion_eos_and_the_two_masks(lm: LanguageModel) -> None:
    example = Example("ab:", " c")
    answer, full = encode(lm, example, "answer"), encode(lm, example, "full")
    assert answer.ids == full.ids == (lm.bos_id, *_ids(lm, "ab:"), *_ids(lm, " c"), lm.eos_id)
    assert answer.scored == (False, False, False, False, True, True, True)
    assert full.scored == (False, True, True, True, True, True, True)
    assert answer.cut == 0


def test_eos_stands_in_for_a_missing_bos(make_lm: Make) -> None:
    lm = make_lm()
    lm.tokenizer.bos_token = None
    assert encode(lm, Example("a", "b"), "full").ids[0] == lm.eos_id


def test_the_prompt_is_cut_from_the_left(make_lm: Make) -> None:
    lm = make_lm(max_tokens=6)
    encoded = encode(lm, Example("abcdef", "xy"), "answer")
    assert encoded.ids == (lm.bos_id, *_ids(lm, "ef"), *_ids(lm, "xy"), lm.eos_id)
    assert encoded.cut == 4


def test_a_completion_beyond_the_context_loses_its_end(make_lm: Make) -> None:
    lm = make_lm(max_tokens=4)
    encoded = encode(lm, Example("abc", "uvwxyz"), "answer")
    assert encoded.ids == (lm.bos_id, *_ids(lm, "uvw"))
    assert encoded.scored == (False, True, True, True)


def test_user_text_cannot_spell_a_special_token(lm: LanguageModel) -> None:
    encoded = encode(lm, Example("", "x</s>y"), "answer")
    assert encoded.ids.count(lm.eos_id) == 1
    assert encoded.ids[-1] == lm.eos_id
    assert len(encoded.ids) == len("x</s>y") + 2


def test_prompts_keep_their_end(lm: LanguageModel) -> None:
    assert encode_prompts(lm, ["abcdef", "x"], 3) == [
        [lm.bos_id, *_ids(lm, "ef")],
        [lm.bos_id, *_ids(lm, "x")],
    ]


def test_an_unknown_loss_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(ValueError, match="'answer' or 'full'"):
        encode(lm, Example("a", "b"), "prompt")


def test_what_is_read_of_a_prompt_is_what_its_tokens_say(make_lm: Make) -> None:
    lm = make_lm(max_tokens=6)
    texts = ["abcdef", "xy"]
    assert as_read(lm, texts, 5) == ["cdef", "xy"]
    assert as_read(lm, texts) == texts
    rows = encode_prompts(lm, texts, 5)
    assert [lm.tokenizer.decode(row[1:]) for row in rows] == as_read(lm, texts, 5)
