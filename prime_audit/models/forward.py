"""Batches and forward passes that keep no more logits than are asked for."""

from collections.abc import Iterator, Sequence

import torch
from transformers import Cache

from prime_audit.models.encoding import Encoded
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.metering import count_fed

# Largest block of logits held at once: 2**24 float32 values are 64 MiB.
_LOGITS_AT_ONCE = 1 << 24


def plan_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Groups sequences of similar length so that no padded batch exceeds a budget.

    Args:
        lengths: Length of every sequence in tokens.
        batch_tokens: Most tokens in a batch, padding included; a longer sequence is a batch of its own.

    Returns:
        Positions into ``lengths``, batch by batch, longest first (so memory runs out at once or never).
    """
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * width <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            width = lengths[index]
    return batches


def pad(
    lm: LanguageModel, rows: Sequence[Sequence[int]], *, left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stacks sequences into one tensor.

    Args:
        lm: The model they are for.
        rows: Token ids.
        left: Pad before the tokens (for decoding) and not after them.

    Returns:
        Ids and a boolean mask, both ``(rows, longest)``. The mask comes from the lengths and never from
        the ids: EOS, BOS and padding may be one and the same token.
    """
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), lm.eos_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for place, row in enumerate(rows):
        part = slice(width - len(row), width) if left else slice(0, len(row))
        ids[place, part] = torch.tensor(row, dtype=torch.int64)
        mask[place, part] = True
    return ids.to(lm.device), mask.to(lm.device)


def predicted_mask(lm: LanguageModel, encoded: Sequence[Encoded], width: int) -> torch.Tensor:
    """Marks the positions whose next token is scored.

    Args:
        lm: The model.
        encoded: The examples of a batch, padded on the right.
        width: Length of the longest one.

    Returns:
        Boolean ``(rows, width - 1)``: the token at t + 1 is predicted from the state at t.
    """
    marked = torch.zeros((len(encoded), width - 1), dtype=torch.bool)
    for place, one in enumerate(encoded):
        marked[place, : len(one.ids) - 1] = torch.tensor(one.scored[1:])
    return marked.to(lm.device)


def states_of(
    lm: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    cache: Cache | None = None,
) -> torch.Tensor:
    """Runs the model up to what its logits are made from; see `logits_of`.

    Args:
        lm: The model.
        ids: Token ids ``(rows, new tokens)``.
        mask: Boolean attention mask ``(rows, cached + new tokens)``.
        positions: Position ids, if they are not simply 0, 1, 2, ...
        cache: Keys and values of earlier tokens; extended in place.

    Returns:
        Last hidden states ``(rows, new tokens, d)`` where the architecture permits, else logits.
    """
    extra = {"position_ids": positions} if positions is not None and lm.takes_positions else {}
    run = lm.model.base_model if lm.plain_head else lm.model
    count_fed(mask, ids.shape[1])
    output = run(
        input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=cache is not None, **extra
    )
    states: torch.Tensor = output[0]
    return states


def logits_of(lm: LanguageModel, states: torch.Tensor) -> torch.Tensor:
    """Turns states of `states_of` into float32 logits.

    Args:
        lm: The model.
        states: Selected states ``(positions, ...)``.

    Returns:
        Logits ``(positions, vocabulary)``.
    """
    if lm.head is None or not lm.plain_head:
        return states.float()
    logits: torch.Tensor = lm.head(states)
    return logits.float()


def logits_in_blocks(lm: LanguageModel, states: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yields the logits of many positions a block at a time.

    Args:
        lm: The model.
        states: Selected states ``(positions, ...)``.

    Yields:
        Which positions, and their float32 logits.
    """
    step = max(1, _LOGITS_AT_ONCE // lm.embedding_shape[0])
    for start in range(0, len(states), step):
        part = slice(start, min(start + step, len(states)))
        yield part, logits_of(lm, states[part])
