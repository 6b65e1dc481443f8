"""What an audit of a model is asked for; no torch here, so that options are checked at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

BASE: Final = "base"
NONE: Final = "none"


@dataclass(frozen=True)
class ModelRequest:
    """What to audit, and with what.

    Attributes:
        base: The model: `tiny`, `smollm2`, a folder, or a hub id.
        members: Records that it was trained on.
        nonmembers: Records that it was not trained on.
        adapter: A PEFT adapter on it; None audits the model itself.
        reference: `base` (the model without the adapter), `none`, or another model with the same tokenizer;
            None is `base` with an adapter and `none` without.
        public: Records that nobody trained on and that are in neither list.
        max_tokens: Longest sequence to feed, in tokens; the model's context by default.
        quantize: `4bit` holds the models' linear layers in 4 bits, as they are deployed; None in full.
    """

    base: str
    members: Path
    nonmembers: Path
    adapter: Path | None = None
    reference: str | None = None
    public: Path | None = None
    max_tokens: int | None = None
    quantize: Literal["4bit"] | None = None
