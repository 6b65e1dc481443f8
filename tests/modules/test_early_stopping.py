from pathlib import Path

import pytest

from prime_audit.config import TrainingConfig
from prime_audit.errors import ModelError
from prime_audit.models import Example, LanguageModel, encode_all
from prime_audit.modules import (
    LoraModule,
    Stopping,
    TrainingRecord,
    early_stopping,
    read_record,
    train_module,
    train_personal,
    write_record,
)
from prime_audit.modules.training import current_module

WORDS = ["red", "green", "blue", "red", "grey", "black", "white", "brown", "pink", "plum"]
EXAMPLES = [Example(f"item {i}:", f" {word}") for i, word in enumerate(WORDS)]
TRAINING = TrainingConfig(rank=2, alpha=4, lr=1e-2, epochs=4, batch_size=4)


def tokens(lm: LanguageModel, examples: list[Example]) -> int:
    return sum(len(one.ids) for one in encode_all(lm, examples, "answer"))


def test_without_stopping_it_is_plain_training(lm: LanguageModel) -> None:
    module, record = train_personal(lm, EXAMPLES, TRAINING, seed=3)
    assert module.digest == train_module(lm, EXAMPLES, TRAINING, seed=3).digest
    assert record == TrainingRecord(
        items=10,
        held_out=0,
        epochs=4,
        best_epoch=4,
        training_tokens=4 * tokens(lm, EXAMPLES),
        search_tokens=0,
    )


@pytest.mark.parametrize(
    ("losses", "patience", "ran", "best"),
    [
        ([3.0, 2.0, 1.0, 0.5], 1, 4, 4),
        ([3.0, 2.0, 2.5, 0.1], 1, 3, 2),
        # Twice the patience: a better epoch after a worse one is found.
        ([3.0, 2.0, 2.5, 0.1], 2, 4, 4),
        ([1.0, 1.0, 1.0, 1.0], 2, 3, 1),
    ],
)
def test_the_best_epoch_is_restored(
    lm: LanguageModel,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    patience: int,
    ran: int,
    best: int,
) -> None:
    given, copies = iter(losses), []
    plain = current_module

    def copy(*arguments: object) -> LoraModule:
        copies.append(plain(*arguments))  # type: ignore[arg-type]
        return copies[-1]

    monkeypatch.setattr(early_stopping, "held_out_loss", lambda *_: next(given))
    monkeypatch.setattr(early_stopping, "current_module", copy)
    module, record = train_personal(lm, EXAMPLES, TRAINING, 3, Stopping(0.3, patience))
    assert (record.epochs, record.best_epoch) == (ran, best)
    assert (record.items, record.held_out) == (7, 3)
    assert record.training_tokens == ran * tokens(lm, EXAMPLES[:7])
    # What is kept is the copy of that epoch, not the layers as they ended.
    assert module is copies[-1]
    assert len({one.digest for one in copies}) == len(copies)


def test_the_last_records_choose_and_are_not_trained_on(lm: LanguageModel) -> None:
    one, _ = train_personal(lm, EXAMPLES, TRAINING, 3, Stopping(0.2, 9))
    other = [*EXAMPLES[:8], *[Example("something else:", " odd")] * 2]
    same, record = train_personal(lm, other, TRAINING, 3, Stopping(0.2, 9))
    if record.best_epoch == 4:
        assert one.digest == same.digest
    assert record.search_tokens == record.epochs * tokens(lm, other[8:])
    changed, _ = train_personal(lm, [Example("x:", " y"), *EXAMPLES[1:]], TRAINING, 3, Stopping(0.2, 9))
    assert changed.digest != one.digest


@pytest.mark.parametrize(("own", "aside"), [(0, 0), (1, 0), (2, 1), (4, 2)])
def test_other_peoples_records_are_never_set_aside(lm: LanguageModel, own: int, aside: int) -> None:
    _, record = train_personal(lm, EXAMPLES, TRAINING, 3, Stopping(0.5, 1), choosable=own)
    assert (record.items, record.held_out) == (10 - aside, aside)


def test_the_record_travels_with_the_module(lm: LanguageModel, tmp_path: Path) -> None:
    _, record = train_personal(lm, EXAMPLES, TRAINING, 3, Stopping(0.2, 1))
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    (tmp_path / "training.json").write_text('{"items": 1}')
    with pytest.raises(ModelError, match=r"training\.json: held_out"):
        read_record(tmp_path)
