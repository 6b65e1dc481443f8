"""The card that lies beside the bundled weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEXT = """---
license: apache-2.0
library_name: transformers
tags: [llama, tiny, synthetic]
---
# The tiny model of prime-audit

A causal language model in the Llama architecture, small enough to train and attack on a laptop in a minute.

- **Parameters**: {parameters:,} (float32), {layers} layers, width {hidden}, {heads} heads, feed-forward
  {mlp}, vocabulary {vocabulary} (byte-level BPE), context {context} tokens, input and output embeddings tied.
- **Data**: {tokens:,} tokens of generated English-like news texts with headlines ({documents:,} documents,
  each read once), written by `prime_audit.data.world.pretraining_text`. No text of any person is in it.
  The authors share the names and topics of the bundled study and none of its users.
- **Training**: `python -m prime_audit.bundled.train_tiny --out DIR --seed {seed} --steps {steps}`:
  {steps} steps of {batch} documents, AdamW, highest learning rate {lr}. The same command on the same machine
  and library versions gives the same weights.
- **Loss on new authors**: {document:.3f} nats per token over whole documents, {headline:.3f} over headlines
  in the task's prompt. Much of it cannot be learned: names and details are drawn at random.
- **Licence**: Apache-2.0, like the project.

## What it is not

It knows a few hundred words and one kind of text. It does not answer questions, follow instructions or hold
facts, and it is no stand-in for a real model: leakage and utility measured with it show that the tool works,
and say nothing about the size of either with a model in use.
"""


def write_card(
    folder: Path, recipe: Mapping[str, Any], parameters: int, tokens: int, losses: Mapping[str, float]
) -> None:
    """Write CARD.md.

    Args:
        folder: The model's folder.
        recipe: The fields of the recipe.
        parameters: How many weights the model has.
        tokens: How many tokens it was trained on.
        losses: `document` and `headline`, in nats per token.
    """
    documents = recipe["steps"] * recipe["batch"]
    text = _TEXT.format(**recipe, **losses, parameters=parameters, tokens=tokens, documents=documents)
    (folder / "CARD.md").write_text(text, encoding="utf-8")
