import torch

from prime_audit.models import Example, LanguageModel, encode_all, generate, metered
from prime_audit.models.metering import Meter, count_fed
from prime_audit.modules.training import mean_loss

MASK = torch.tensor([[False, True, True], [True, True, True]])


def test_padding_and_cached_tokens_do_not_count() -> None:
    with metered() as meter:
        count_fed(MASK, 3)
        with torch.no_grad():
            count_fed(MASK, 1)
    assert (meter.training, meter.inference) == (5, 2)
    count_fed(MASK, 3)
    assert meter.training == 5


def test_a_meter_inside_keeps_its_tokens_until_it_is_charged() -> None:
    with metered() as outer:
        with metered() as inner:
            count_fed(MASK, 3)
        assert (outer.training, inner.training) == (0, 5)
        inner.charge()
    assert outer == Meter(inference=0, training=5)
    inner.charge()
    assert outer.training == 5


def test_reading_and_writing_is_counted_token_by_token(lm: LanguageModel) -> None:
    with metered() as meter:
        said = generate(lm, ["abc"], max_new_tokens=4)
    written = len(said[0].encode())
    # BOS and three bytes are read, then every new token but the last, unless the end stops it.
    assert 4 <= meter.inference <= 4 + 4
    assert meter.inference >= 4 + min(written, 3)
    encoded = encode_all(lm, [Example("ab", "c"), Example("a", "b")], "answer")
    with metered() as meter:
        mean_loss(lm, encoded)
    assert meter == Meter(inference=0, training=sum(len(one.ids) for one in encoded))
