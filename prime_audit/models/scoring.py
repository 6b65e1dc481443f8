"""Per-token evidence of examples: one forward pass each, logits at scored positions only."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.errors import ModelError
from prime_audit.models.adapters import RowAdapters, row_context
from prime_audit.models.encoding import Encoded, Example, encode_all
from prime_audit.models.forward import logits_in_blocks, pad, plan_batches, predicted_mask, states_of
from prime_audit.models.language_model import LanguageModel

# Log-probabilities whose statistics are taken at once: 2**18 float32 values are 1 MiB, which a core's cache
# holds; over a whole block of logits the same sums take up to four times as long.
_PROBABILITIES_AT_ONCE = 1 << 18


def score_tokens(
    lm: LanguageModel,
    examples: Sequence[Example],
    *,
    loss: str = "answer",
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    batch_tokens: int | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores every example's tokens in one forward pass.

    Log-probabilities are float32 log-softmax values in nats and do not depend on the batch (in float32 to
    about 1e-5; kernels add up in another order when shapes differ).

    Args:
        lm: The model.
        examples: Prompts and completions; see `encode` for what is cut.
        loss: ``answer`` scores completion and EOS, ``full`` everything after BOS.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(examples, modules)``; given exactly if ``adapters`` is.
        batch_tokens: Most tokens in a batch, padding included; None for the model's own.
        remap: For every tokenizer id the number that stands for it in the evidence. If None, the tokens
            of this call are numbered by ``np.unique``: equality and frequency hold within the call, and
            between calls over the same examples, but not between calls over different ones.

    Returns:
        The evidence, in the order of ``examples``. ``compressed_bytes`` is the zlib length of the scored
        text in UTF-8 (the completion, or prompt and completion under ``full``), before any cut.

    Raises:
        ModelError: The model gives log-probabilities that are not finite.
    """
    encoded = encode_all(lm, examples, loss)
    return score_encoded(
        lm,
        encoded,
        compressed_bytes(examples, loss),
        adapters=adapters,
        weights=weights,
        batch_tokens=batch_tokens,
        remap=remap,
    )


@torch.no_grad()
def score_encoded(
    lm: LanguageModel,
    encoded: Sequence[Encoded],
    compressed: NDArray[np.int64],
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    batch_tokens: int | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores examples that are encoded already; see `score_tokens`.

    Args:
        lm: The model.
        encoded: Token ids with a mark on those that are scored.
        compressed: ``(examples,)`` zlib lengths of the scored texts, in bytes.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(examples, modules)``; given exactly if ``adapters`` is.
        batch_tokens: Most tokens in a batch, padding included; None for the model's own.
        remap: As for `score_tokens`.

    Returns:
        The evidence, in the order of ``encoded``.

    Raises:
        ModelError: The model gives log-probabilities that are not finite.
    """
    in_rows = row_context(lm, adapters, weights, len(encoded))
    figures: list[NDArray[np.float64]] = [np.empty((4, 0))] * len(encoded)

    def score(batch: list[int]) -> list[NDArray[np.float64]]:
        with in_rows(batch):
            return _score_batch(lm, [encoded[i] for i in batch])

    batches = plan_batches([len(one.ids) for one in encoded], batch_tokens or lm.batching.tokens)
    for batch, parts in lm.batching.carry_out(batches, score):
        for index, part in zip(batch, parts, strict=True):
            figures[index] = part
    tokens = [np.array(one.ids, dtype=np.int64)[np.array(one.scored)] for one in encoded]
    return _assemble(tokens, figures, compressed, remap)


def _score_batch(lm: LanguageModel, batch: Sequence[Encoded]) -> list[NDArray[np.float64]]:
    """Returns logp, mean, standard deviation and is-argmax per scored token, ``(4, tokens)`` per row."""
    ids, mask = pad(lm, [one.ids for one in batch])
    wanted = predicted_mask(lm, batch, ids.shape[1])
    states = states_of(lm, ids, mask)[:, :-1][wanted]
    targets = ids[:, 1:][wanted]
    blocks = [_statistics(logits, targets[part]) for part, logits in logits_in_blocks(lm, states)]
    flat = torch.cat(blocks, dim=1).double().cpu().numpy()
    if not np.isfinite(flat).all():
        raise ModelError(
            f"model {lm.name}: its log-probabilities are not finite",
            hint="use float32 (model.dtype); if that does not help, the weights or a module are damaged",
        )
    ends = np.cumsum(wanted.sum(dim=1).cpu().numpy())
    return np.split(flat, ends[:-1], axis=1)


def _statistics(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    rows = max(1, _PROBABILITIES_AT_ONCE // logits.shape[1])
    parts = zip(torch.split(logits, rows), torch.split(targets, rows), strict=True)
    return torch.cat([_statistics_of_part(*part) for part in parts], dim=1)


def _statistics_of_part(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logp = torch.log_softmax(logits, dim=-1)
    p = logp.exp()
    mean = (p * logp).sum(dim=-1, keepdim=True)
    spread = (p * (logp - mean).square()).sum(dim=-1).sqrt()
    chosen = logp.gather(1, targets[:, None])[:, 0]
    return torch.stack([chosen, mean[:, 0], spread, (logits.argmax(dim=-1) == targets).float()])


def compressed_bytes(examples: Sequence[Example], loss: str) -> NDArray[np.int64]:
    """Returns the zlib length of each scored text in UTF-8, in bytes, before any cut."""
    texts = [one.prompt + one.completion if loss == "full" else one.completion for one in examples]
    sizes = [len(zlib.compress(text.encode("utf-8", "surrogatepass"))) for text in texts]
    return np.array(sizes, dtype=np.int64)


def _assemble(
    tokens: Sequence[NDArray[np.int64]],
    figures: Sequence[NDArray[np.float64]],
    compressed: NDArray[np.int64],
    remap: NDArray[np.integer] | None,
) -> TokenScores:
    flat = np.concatenate([np.empty((4, 0)), *figures], axis=1)
    ids = np.concatenate([np.empty(0, dtype=np.int64), *tokens])
    numbers = np.unique(ids, return_inverse=True)[1] if remap is None else remap[ids]
    return TokenScores(
        offsets=np.cumsum([0, *(len(one) for one in tokens)], dtype=np.int64),
        logp=flat[0],
        mean_logp=flat[1],
        std_logp=flat[2],
        is_argmax=flat[3].astype(bool),
        token=numbers.astype(np.int64),
        compressed_bytes=compressed,
    )
