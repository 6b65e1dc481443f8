"""Next-token distributions along given answers, for comparing what two models would say."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.models.adapters import RowAdapters, row_context
from prime_audit.models.encoding import Example, encode_all
from prime_audit.models.forward import logits_of, pad, plan_batches, predicted_mask, states_of
from prime_audit.models.language_model import LanguageModel


@torch.no_grad()
def answer_distributions(
    lm: LanguageModel,
    examples: Sequence[Example],
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    batch_tokens: int | None = None,
) -> list[NDArray[np.float32]]:
    """Returns the whole next-token distribution at every answer token.

    All of them are held at once: tokens times vocabulary times 4 bytes.

    Args:
        lm: The model.
        examples: Prompts and completions.
        adapters: Modules to mix in, or None.
        weights: Merge weights per example; given exactly if ``adapters`` is.
        batch_tokens: Most tokens in a batch, padding included; None for the model's own.

    Returns:
        Per example, log-probabilities in nats, shape ``(answer tokens, vocabulary)``.
    """
    encoded = encode_all(lm, examples, "answer")
    in_rows = row_context(lm, adapters, weights, len(examples))
    found: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)] * len(encoded)

    def distributions(batch: list[int]) -> list[NDArray[np.float32]]:
        rows = [encoded[i] for i in batch]
        ids, mask = pad(lm, [one.ids for one in rows])
        wanted = predicted_mask(lm, rows, ids.shape[1])
        with in_rows(batch):
            states = states_of(lm, ids, mask)[:, :-1][wanted]
        logp = torch.log_softmax(logits_of(lm, states), dim=-1).cpu().numpy()
        ends = np.cumsum(wanted.sum(dim=1).cpu().numpy())
        return np.split(logp, ends[:-1])

    batches = plan_batches([len(one.ids) for one in encoded], batch_tokens or lm.batching.tokens)
    for batch, parts in lm.batching.carry_out(batches, distributions):
        for index, part in zip(batch, parts, strict=True):
            found[index] = part
    return found
