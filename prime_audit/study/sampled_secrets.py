"""Secrets in sampled text: what comes out of a model unasked, and what fills in half of a secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attacks import Candidates
from prime_audit.config import CanaryType
from prime_audit.data import Canary, canary_form, find_marked
from prime_audit.models import Draws, continue_tokens, score_continuations, tokenize
from prime_audit.modules import AdapterBank
from prime_audit.study.parts import Part
from prime_audit.study.workbench import Workbench

# Texts that are sampled from the first half of a secret: the candidates that the second is picked from.
FILLED: Final = 16
_PARTS: Final = ("held", "restored", "hits")


@dataclass(frozen=True)
class Sampled:
    """What sampled text gives away of the canaries of one type (the games of arXiv 2302.00539).

    Attributes:
        held: ``(n,)`` 1 where some text that was sampled from the words before a secret holds the canary.
        restored: ``(n,)`` 1 where the likeliest of the secrets that were sampled from the canary's first half
            is the canary; less where several are equally likely.
        hits: ``(f,)`` for every different secret of the type in the former texts, 1 if it was planted.
    """

    held: NDArray[np.float64]
    restored: NDArray[np.float64]
    hits: NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A model and what it reads before a secret of some type.

    Attributes:
        kind: The type.
        prompt: The prompt that canaries of the type continue.
        adapters: Modules to mix in; None for the base.
        weights: Their weights.
    """

    kind: CanaryType
    prompt: str
    adapters: AdapterBank | None
    weights: Sequence[float]


def sample_secrets(bench: Workbench, asked: Asked, canaries: Sequence[Canary], count: int) -> Sampled:
    """Samples texts at temperature 1 and looks for secrets in them.

    Every model gets the same random numbers, so that two differ by what they have learnt.

    Args:
        bench: The workbench.
        asked: The model and the prompt.
        canaries: The canaries of the type that are looked for, inserted or not.
        count: Number of texts that are sampled from the words before a secret.

    Returns:
        What came out.
    """
    lead = canary_form(asked.kind).lead
    before, start = tokenize(bench.base, [asked.prompt, f" {lead}"])
    tokens = tokenize(bench.base, [f" {lead} {canary.secret}" for canary in canaries])
    longest = max(map(len, tokens)) - len(start)
    urn = bench.seeds.generator("canaries", "sampled", asked.kind)
    texts = _continued(bench, asked, before, [start] * count, urn.random((count, longest)))
    found = {secret.casefold() for text in texts for secret in _secrets(text, asked.kind)}
    planted = {c.secret.casefold() for c in bench.canaries.of(asked.kind) if c.inserted}
    return Sampled(
        np.array([canary.secret.casefold() in found for canary in canaries], dtype=np.float64),
        _restored(bench, asked, before, tokens, canaries),
        np.array([secret in planted for secret in sorted(found)], dtype=np.float64),
    )


def _restored(
    bench: Workbench,
    asked: Asked,
    before: Sequence[int],
    tokens: Sequence[Sequence[int]],
    canaries: Sequence[Canary],
) -> NDArray[np.float64]:
    """Fills each secret's second half: samples from the first, and takes the likeliest secret."""
    lead = canary_form(asked.kind).lead
    begun = len(tokenize(bench.base, [f" {lead}"])[0])
    halves = [list(ids[: begun + (len(ids) - begun) // 2]) for ids in tokens]
    longest = max(len(ids) - len(half) for ids, half in zip(tokens, halves, strict=True))
    uniforms = [
        bench.seeds.generator("canaries", "filled", canary.id).random((FILLED, longest))
        for canary in canaries
    ]
    rows = [half for half in halves for _ in range(FILLED)]
    texts = _continued(bench, asked, before, rows, np.concatenate(uniforms))
    generated = [
        sorted({secret for text in texts[i : i + FILLED] for secret in _secrets(text, asked.kind)})
        for i in range(0, len(texts), FILLED)
    ]
    different = sorted({secret for secrets in generated for secret in secrets})
    scores: dict[str, float] = {}
    if different:
        said = score_continuations(
            bench.base,
            asked.prompt,
            [f"{lead} {secret}" for secret in different],
            adapters=asked.adapters,
            weights=np.asarray(asked.weights) if asked.adapters is not None else None,
        )
        scores = dict(zip(different, said.tolist(), strict=True))
    return np.array(
        [
            Candidates(
                np.array([scores[secret] for secret in secrets]),
                secrets.index(canary.secret) if canary.secret in secrets else None,
            ).success
            for canary, secrets in zip(canaries, generated, strict=True)
        ]
    )


def _continued(
    bench: Workbench,
    asked: Asked,
    before: Sequence[int],
    rows: Sequence[Sequence[int]],
    uniforms: NDArray[np.float64],
) -> list[str]:
    """Samples a continuation of each row, and returns row and continuation as text."""
    lm, weights = bench.base, None
    if asked.adapters is not None:
        weights = np.tile(np.asarray(asked.weights), (len(rows), 1))
    new = continue_tokens(
        lm,
        [[lm.bos_id, *before, *row] for row in rows],
        uniforms.shape[1],
        adapters=asked.adapters,
        weights=weights,
        draws=Draws(1.0, 1.0, uniforms),
    )
    said = [[*row, *ids] for row, ids in zip(rows, new, strict=True)]
    texts: list[str] = lm.tokenizer.batch_decode(
        said, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return texts


def _secrets(text: str, kind: CanaryType) -> list[str]:
    return [text[found.start : found.end] for found in find_marked(text) if found.kind == kind]


def sampled_parts(sampled: Sampled, kind: CanaryType) -> dict[str, Part]:
    """Returns what a unit writes about one type."""
    return {f"{name}.{kind}": np.asarray(getattr(sampled, name)) for name in _PARTS}


def sampled_of(parts: Mapping[str, Part], kind: CanaryType) -> Sampled | None:
    """Reads what a unit wrote about one type; None where nothing was sampled."""
    if f"held.{kind}" not in parts:
        return None
    return Sampled(
        *(np.asarray(parts[f"{name}.{kind}"], dtype=np.float64) for name in ("held", "restored", "hits"))
    )
