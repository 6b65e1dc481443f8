"""Greedy decoding and label scoring; both read the prompt once and keep its keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from prime_audit.data import Task
from prime_audit.errors import ModelError
from prime_audit.models.adapters import RowAdapters, RowContext, row_context
from prime_audit.models.encoding import encode_prompts, tokenize
from prime_audit.models.forward import logits_in_blocks, logits_of, pad, plan_batches, states_of
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.sampling import Draws, pick


def predict(
    lm: LanguageModel,
    task: Task,
    prompts: Sequence[str],
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
) -> list[str]:
    """Answers prompts in the way the task is answered.

    Args:
        lm: The model.
        task: A text task is decoded greedily; any other gets its most likely label.
        prompts: Complete prompts.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(prompts, modules)``; given exactly if ``adapters`` is.

    Returns:
        One answer per prompt, without surrounding space.
    """
    if task.kind == "text":
        limit = task.max_new_tokens
        texts = generate(lm, prompts, max_new_tokens=limit, adapters=adapters, weights=weights)
        return [text.strip() for text in texts]
    scores = score_labels(lm, prompts, task.labels, adapters=adapters, weights=weights)
    return [task.labels[best] for best in choose_labels(scores)]


def choose_labels(scores: NDArray[np.float64], draws: Draws | None = None) -> NDArray[np.int64]:
    """Chooses a label per prompt.

    Args:
        scores: Log-probabilities of `score_labels`, shape ``(prompts, labels)``.
        draws: Sample with the first random number of each row instead of taking the likeliest label.

    Returns:
        Positions of the labels, shape ``(prompts,)``; the first of equally likely ones.
    """
    if draws is None:
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)
    uniforms = torch.from_numpy(draws.uniforms[:, 0])
    drawn = pick(torch.from_numpy(scores), draws.temperature, draws.top_p, uniforms)
    return np.asarray(drawn.numpy(), dtype=np.int64)


@torch.no_grad()
def generate(
    lm: LanguageModel,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    draws: Draws | None = None,
    batch_size: int = 64,
) -> list[str]:
    """Continues prompts, greedily or with given random numbers, each until its own EOS.

    Args:
        lm: The model.
        prompts: Complete prompts; one that does not fit beside its answer loses its beginning.
        max_new_tokens: Most new tokens per prompt.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(prompts, modules)``; given exactly if ``adapters`` is.
        draws: Sample with these random numbers; ``max_new_tokens`` per prompt.
        batch_size: Most prompts per batch; it does not change the results.

    Returns:
        The new text of every prompt, without special tokens.

    Raises:
        ModelError: The model's context does not hold ``max_new_tokens``.
    """
    rows = encode_prompts(lm, prompts, _room(lm, max_new_tokens))
    in_rows = row_context(lm, adapters, weights, len(rows))
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))
    texts = [""] * len(rows)

    def decode(batch: list[int]) -> list[list[int]]:
        return _decode(lm, [rows[i] for i in batch], batch, in_rows, max_new_tokens, draws)

    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for batch, new in lm.batching.carry_out(batches, decode):
        decoded = lm.tokenizer.batch_decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for index, text in zip(batch, decoded, strict=True):
            texts[index] = text
    return texts


@torch.no_grad()
def score_labels(
    lm: LanguageModel,
    prompts: Sequence[str],
    labels: Sequence[str],
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    batch_tokens: int | None = None,
) -> NDArray[np.float64]:
    """Scores every label as the answer to every prompt.

    A label is a space and its text. Where no label begins another, that alone tells them apart, and the
    likeliest label is what greedy decoding says whenever it says one; else EOS is scored too, so that a
    label competes with those that go on after it.

    Args:
        lm: The model.
        prompts: Complete prompts; one that does not fit beside the longest label loses its beginning.
        labels: The labels.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(prompts, modules)``; given exactly if ``adapters`` is.
        batch_tokens: Most tokens, cached ones included, in a batch of prompts times labels; None for
            twice the model's own.

    Returns:
        Sums of log-probabilities in nats, shape ``(prompts, labels)``.

    Raises:
        ModelError: The model's context does not hold a label, or its log-probabilities are not finite.
    """
    tokens = tokenize(lm, [f" {label}" for label in labels])
    if not tokens or not all(tokens):
        raise ValueError("there must be labels, and none may be empty")
    longest = max(len(ids) for ids in tokens)
    # Only EOS tells a label from those that go on after it.
    begins = any(tuple(two[: len(one)]) == tuple(one) for one, two in permutations(tokens, 2))
    continuations = _split(lm, tokens, end=begins)
    rows = encode_prompts(lm, prompts, _room(lm, longest))
    in_rows = row_context(lm, adapters, weights, len(rows))
    scores = np.empty((len(rows), len(labels)))

    def score(batch: list[int]) -> NDArray[np.float64]:
        return _score_batch(lm, [rows[i] for i in batch], batch, in_rows, continuations)

    lengths = [(len(row) + longest) * len(labels) for row in rows]
    batches = plan_batches(lengths, batch_tokens or 2 * lm.batching.tokens)
    for batch, found in lm.batching.carry_out(batches, score):
        scores[batch] = found
    return _finite(lm, scores)


@torch.no_grad()
def score_continuations(
    lm: LanguageModel,
    prompt: str,
    continuations: Sequence[str],
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    batch_tokens: int | None = None,
) -> NDArray[np.float64]:
    """Scores many continuations of one prompt, which is read once per batch.

    Args:
        lm: The model.
        prompt: The complete prompt; where it does not fit beside the longest one it loses its beginning.
        continuations: A space and the text of each are scored, no EOS.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(modules,)``; given exactly if ``adapters`` is.
        batch_tokens: Most tokens, cached ones included, in a batch; None for twice the model's own.

    Returns:
        Sums of log-probabilities in nats, shape ``(continuations,)``.

    Raises:
        ModelError: The model's context does not hold a continuation, or its log-probabilities are not finite.
    """
    tokens = tokenize(lm, [f" {text}" for text in continuations])
    if not tokens or not all(tokens):
        raise ValueError("there must be continuations, and none may be empty")
    longest = max(len(ids) for ids in tokens)
    rows = encode_prompts(lm, [prompt], _room(lm, longest))
    in_rows = row_context(lm, adapters, None if weights is None else weights[None], 1)

    def score(batch: list[int]) -> NDArray[np.float64]:
        some = _split(lm, [tokens[i] for i in batch], end=False)
        return np.asarray(_score_batch(lm, rows, [0], in_rows, some)[0], dtype=np.float64)

    step = max(1, (batch_tokens or 2 * lm.batching.tokens) // (len(rows[0]) + longest))
    batches = [range(start, min(start + step, len(tokens))) for start in range(0, len(tokens), step)]
    parts = [part for _, part in lm.batching.carry_out(batches, score)]
    return _finite(lm, np.concatenate(parts))


@torch.no_grad()
def continue_tokens(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    draws: Draws | None = None,
    batch_size: int = 64,
) -> list[list[int]]:
    """Continues token sequences, so that what comes out can be compared token by token.

    Args:
        lm: The model.
        rows: Token ids that the model reads, BOS included.
        new_tokens: Most new tokens per row.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(rows, modules)``; given exactly if ``adapters`` is.
        draws: Sample with these random numbers, ``new_tokens`` per row; greedy without.
        batch_size: Most rows per batch; it does not change the results.

    Returns:
        The new tokens of each row, which end before EOS.

    Raises:
        ModelError: A row and its new tokens do not fit in the model's context.
    """
    longest = max((len(row) for row in rows), default=0)
    if longest > _room(lm, new_tokens):
        raise ModelError(
            f"model {lm.name}: {longest} tokens and {new_tokens} new ones are more than its context of "
            f"{lm.max_tokens}",
            hint="raise training.max_tokens",
        )
    in_rows = row_context(lm, adapters, weights, len(rows))

    def decode(batch: list[int]) -> list[list[int]]:
        return _decode(lm, [rows[i] for i in batch], batch, in_rows, new_tokens, draws)

    starts = range(0, len(rows), batch_size)
    batches = [range(start, min(start + batch_size, len(rows))) for start in starts]
    return [new for _, some in lm.batching.carry_out(batches, decode) for new in some]


def _finite(lm: LanguageModel, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(scores).all():
        raise ModelError(
            f"model {lm.name}: its log-probabilities are not finite",
            hint="use float32 (model.dtype)",
        )
    return scores


def _room(lm: LanguageModel, new_tokens: int) -> int:
    if new_tokens >= lm.max_tokens:
        raise ModelError(
            f"model {lm.name}: an answer of {new_tokens} tokens leaves no room for a prompt in its "
            f"context of {lm.max_tokens} tokens",
            hint="choose a shorter answer length or a model with a longer context",
        )
    return lm.max_tokens - new_tokens


def _decode(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    places: Sequence[int],
    in_rows: RowContext,
    limit: int,
    draws: Draws | None,
) -> list[list[int]]:
    ids, mask = pad(lm, rows, left=True)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=lm.model.config)
    new: list[list[int]] = [[] for _ in rows]
    # `running` are the rows still in the batch; a row that ended leaves it when half of them have.
    running, ended = list(range(len(rows))), set[int]()
    for step in range(limit):
        here = [places[row] for row in running]
        with in_rows(here):
            states = states_of(lm, ids, mask, positions=positions, cache=cache)
        best = _next_tokens(logits_of(lm, states[:, -1]), draws, here, step)
        for row, token in zip(running, best.tolist(), strict=True):
            if row not in ended and token in lm.stop_ids:
                ended.add(row)
            elif row not in ended:
                new[row].append(token)
        keep = [place for place, row in enumerate(running) if row not in ended]
        if not keep:
            break
        ids, positions = best[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        if 2 * len(keep) <= len(running):
            chosen = torch.tensor(keep, device=lm.device)
            cache.batch_select_indices(chosen)
            ids, mask, positions = ids[chosen], mask[chosen], positions[chosen]
            running = [running[place] for place in keep]
    return new


def _next_tokens(logits: torch.Tensor, draws: Draws | None, places: Sequence[int], step: int) -> torch.Tensor:
    if draws is None:
        return logits.argmax(dim=-1)
    uniforms = torch.from_numpy(draws.uniforms[list(places), step]).to(logits.device)
    return pick(logits, draws.temperature, draws.top_p, uniforms)


@dataclass(frozen=True)
class _Labels:
    """Labels as tokens: what all begin with, each one's next token, and what is fed and scored after it."""

    shared: tuple[int, ...]
    first: tuple[int, ...]
    fed: tuple[tuple[int, ...], ...]
    scored: tuple[tuple[int, ...], ...]


def _split(lm: LanguageModel, tokens: Sequence[Sequence[int]], *, end: bool) -> _Labels:
    """Splits off what all begin with; ``end`` also scores EOS after each."""
    count = 0
    while all(len(ids) > count + 1 and ids[count] == tokens[0][count] for ids in tokens):
        count += 1
    rest = [tuple(ids[count:]) for ids in tokens]
    scored = [(*ids[1:], lm.eos_id) if end else ids[1:] for ids in rest]
    return _Labels(
        shared=tuple(tokens[0][:count]),
        first=tuple(ids[0] for ids in rest),
        fed=tuple(ids[: len(after)] for ids, after in zip(rest, scored, strict=True)),
        scored=tuple(scored),
    )


def _score_batch(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    places: Sequence[int],
    in_rows: RowContext,
    labels: _Labels,
) -> NDArray[np.float64]:
    ids, mask = pad(lm, [[*row, *labels.shared] for row in rows], left=True)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=lm.model.config)
    shared = len(labels.shared)
    with in_rows(places):
        states = states_of(lm, ids, mask, positions=positions, cache=cache)[:, -shared - 1 :]
    logp = torch.log_softmax(logits_of(lm, states), dim=-1).double()
    begun = logp[:, range(shared), labels.shared].sum(dim=1, keepdim=True)
    scores = begun + logp[:, -1, labels.first]
    if any(labels.scored):
        scores = scores + _score_rest(lm, places, in_rows, labels, (mask, positions[:, -1:] + 1, cache))
    return scores.cpu().numpy()


def _score_rest(
    lm: LanguageModel,
    places: Sequence[int],
    in_rows: RowContext,
    labels: _Labels,
    prefix: tuple[torch.Tensor, torch.Tensor, DynamicCache],
) -> torch.Tensor:
    """Scores what follows each label's first own token, ``(rows, labels)``, on the prompts' cache."""
    count = len(labels.first)
    mask, after, cache = prefix
    cache.batch_repeat_interleave(count)
    inputs, used = pad(lm, labels.fed)
    targets, _ = pad(lm, labels.scored)
    inputs, used, targets = (part.repeat(len(mask), 1) for part in (inputs, used, targets))
    steps = torch.arange(inputs.shape[1], device=lm.device)
    with in_rows([place for place in places for _ in labels.first]):
        states = states_of(
            lm,
            inputs,
            torch.cat([mask.repeat_interleave(count, dim=0), used], dim=1),
            positions=after.repeat_interleave(count, dim=0) + steps,
            cache=cache,
        )
    rest = torch.zeros(inputs.shape, device=lm.device)
    rest[used] = _logp(lm, states[used], targets[used])
    return rest.double().sum(dim=1).reshape(len(mask), count)


def _logp(lm: LanguageModel, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the log-probability of one token after each state."""
    blocks = [
        torch.log_softmax(logits, dim=-1).gather(1, targets[part][:, None])[:, 0]
        for part, logits in logits_in_blocks(lm, states)
    ]
    return torch.cat(blocks)
