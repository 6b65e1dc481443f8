"""Embeddings of texts by the base model itself."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from prime_audit.models.encoding import tokenize
from prime_audit.models.forward import pad, plan_batches
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.metering import count_fed


@torch.no_grad()
def embed(lm: LanguageModel, texts: Sequence[str], batch_tokens: int | None = None) -> NDArray[np.float64]:
    """Averages the last hidden states of each text's tokens.

    BOS is fed but not averaged: its state is nearly the same for every text and far longer than the
    others, so it would hide the differences. A text without a token gets the state of BOS.

    Args:
        lm: The model.
        texts: Any texts; what exceeds the context is cut at the end.
        batch_tokens: Most tokens in a batch, padding included; None for the model's own.

    Returns:
        Shape ``(texts, d)``, not normalised.
    """
    rows = [[lm.bos_id, *ids[: lm.max_tokens - 1]] for ids in tokenize(lm, texts)]
    means = np.empty((len(rows), lm.embedding_shape[1]))

    def average(batch: list[int]) -> NDArray[np.float64]:
        ids, mask = pad(lm, [rows[i] for i in batch])
        count_fed(mask, ids.shape[1])
        states = lm.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0].double()
        counted = mask.clone()
        counted[:, 0] = mask.sum(dim=1) == 1
        # Padded states are replaced and not multiplied by zero: they may hold anything.
        sums = states.masked_fill(~counted[:, :, None], 0.0).sum(dim=1)
        averages: NDArray[np.float64] = (sums / counted.sum(dim=1, keepdim=True)).cpu().numpy()
        return averages

    batches = plan_batches([len(row) for row in rows], batch_tokens or lm.batching.tokens)
    for batch, averages in lm.batching.carry_out(batches, average):
        means[batch] = averages
    return means
