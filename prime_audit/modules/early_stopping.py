"""Training for one person, all epochs or until the loss on records that are set aside no longer falls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict

from prime_audit.config import TrainingConfig
from prime_audit.core import write_json
from prime_audit.models import Encoded, Example, LanguageModel, metered
from prime_audit.modules.lora import LoraModule
from prime_audit.modules.sidecar import read_sidecar
from prime_audit.modules.training import current_module, encode_for_training, fresh_lora, mean_loss, optimise

_FILE: Final = "training.json"


@dataclass(frozen=True)
class Stopping:
    """When to stop.

    Attributes:
        held_out: Share of the records that is set aside, the last ones.
        patience: Epochs without a lower loss on them after which training ends.
    """

    held_out: float
    patience: int

    def aside(self, records: int) -> int:
        """Returns how many of a person's records are set aside: at least one, and never all of them."""
        return 0 if records < 2 else min(records - 1, max(1, round(self.held_out * records)))


class TrainingRecord(BaseModel):
    """How a module was trained; it travels with the module in the store.

    Attributes:
        items: Records trained on.
        held_out: Records set aside to choose the epoch.
        epochs: Epochs that were run.
        best_epoch: The epoch that was kept, from 1.
        training_tokens: Tokens of all training passes.
        search_tokens: Tokens of the passes over the records set aside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    items: int
    held_out: int
    epochs: int
    best_epoch: int
    training_tokens: int
    search_tokens: int


def train_personal(
    lm: LanguageModel,
    examples: Sequence[Example],
    training: TrainingConfig,
    seed: int,
    stopping: Stopping | None = None,
    choosable: int | None = None,
) -> tuple[LoraModule, TrainingRecord]:
    """Trains a module as `train_module` does, and may keep an earlier epoch than the last.

    The learning rate falls to zero over all of `training.epochs`, whenever training stops.

    Args:
        lm: The base.
        examples: What to train on, the oldest record first.
        training: As for `train_module`; its epochs are the most that are run.
        seed: Decides initialisation and order.
        stopping: When to stop; None runs every epoch and keeps the last.
        choosable: How many of the last examples may be set aside, where the others are other people's.

    Returns:
        The module, and how it was trained. A history too short to set a record aside and to train on
        another is trained on whole, which ``held_out`` 0 says.

    Raises:
        ModelError: See `train_module`.
    """
    own = len(examples) if choosable is None else choosable
    aside = 0 if stopping is None else stopping.aside(own)
    short, encoded = encode_for_training(lm, examples, training)
    learnt, judged = encoded[: len(encoded) - aside], encoded[len(encoded) - aside :]
    with metered() as meter, fresh_lora(short, training, seed) as wrapped:
        best = _Best(lambda: current_module(wrapped, training), short, judged, stopping)
        epochs = optimise(short, learnt, training, seed, best.after_epoch)
        module = best.module or current_module(wrapped, training)
    record = TrainingRecord(
        items=len(learnt),
        held_out=aside,
        epochs=epochs,
        best_epoch=best.epoch or epochs,
        training_tokens=meter.training,
        search_tokens=meter.inference,
    )
    meter.charge()
    return module, record


class _Best:
    """The epoch with the lowest loss on the records set aside, so far."""

    def __init__(
        self,
        copy: Callable[[], LoraModule],
        lm: LanguageModel,
        judged: Sequence[Encoded],
        stopping: Stopping | None,
    ) -> None:
        self._copy = copy
        self._lm = lm
        self._judged = judged
        self._patience = 0 if stopping is None else stopping.patience
        self._loss = float("inf")
        self.module: LoraModule | None = None
        self.epoch = 0

    def after_epoch(self, epoch: int) -> bool:
        """Judges an epoch, from 1; returns whether training goes on."""
        if not self._judged:
            return True
        loss = held_out_loss(self._lm, self._judged)
        if loss < self._loss:
            self._loss, self.module, self.epoch = loss, self._copy(), epoch
        return epoch - self.epoch < self._patience


@torch.no_grad()
def held_out_loss(lm: LanguageModel, encoded: Sequence[Encoded]) -> float:
    """Returns the mean over records of their mean negative log-likelihood per scored token, in nats.

    Args:
        lm: The model with the layers that are being trained.
        encoded: The records; one at a time, so that no batch weighs a long one more.

    Returns:
        The loss.
    """
    return float(sum(mean_loss(lm, [one]).item() for one in encoded) / len(encoded))


def write_record(record: TrainingRecord, folder: Path) -> None:
    """Writes ``training.json`` beside a module's files.

    Args:
        record: How the module was trained.
        folder: The module's folder.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(folder / _FILE, record.model_dump(mode="json"))


def read_record(folder: Path) -> TrainingRecord:
    """Reads how a module was trained.

    Args:
        folder: The module's folder.

    Returns:
        The record.

    Raises:
        ModelError: The file says something else.
        DataError: It is missing, or no valid JSON.
    """
    hint = "delete this folder in the store; the module is trained again"
    return read_sidecar(folder / _FILE, TrainingRecord, hint)
