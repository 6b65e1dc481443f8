"""The passes over listed records: plain, in lower case, twice in a row, after public records, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from attacks import Evidence, TokenScores
from prime_audit.bring.listed import Entry
from prime_audit.bring.records import RecordLists
from prime_audit.errors import ModelError
from prime_audit.models import (
    Example,
    LanguageModel,
    score_lowercase,
    score_prefixed,
    score_repeated,
    score_tokens,
)
from prime_audit.models.encoding import tokenize
from prime_audit.modules import AdapterBank, LoraModule, gradient_norms

# What was given before a text is read and not scored.
LOSS: Final = "answer"
# Public records that are put before a record; the others are what it is compared with.
SHOTS: Final = 4


@dataclass(frozen=True)
class Probe:
    """A model, with or without an adapter on it, and how its tokens are numbered in the evidence."""

    lm: LanguageModel
    module: LoraModule | None
    numbers: NDArray[np.int64]

    def plain(self, entries: Sequence[Entry]) -> TokenScores:
        """Scores the texts as they stand."""
        scores = score_tokens(self.lm, examples_of(entries), **self._how(len(entries)))
        return self._texts_alone(scores, entries)

    def lowercase(self, entries: Sequence[Entry]) -> TokenScores:
        """Scores the texts in lower case."""
        scores = score_lowercase(self.lm, examples_of(entries), **self._how(len(entries)))
        return without_end(scores, self._lengths([(entry.text or "").lower() for entry in entries]))

    def repeated(self, entries: Sequence[Entry]) -> TokenScores:
        """Scores the second copy of each text where the model reads it twice in a row."""
        scores = score_repeated(self.lm, examples_of(entries), **self._how(len(entries)))
        return self._texts_alone(scores, entries)

    def prefixed(self, entries: Sequence[Entry], shots: Sequence[Entry]) -> TokenScores:
        """Scores the texts after other records."""
        before = examples_of(shots)
        scores = score_prefixed(self.lm, examples_of(entries), before, **self._how(len(entries)))
        return self._texts_alone(scores, entries)

    def gradients(self, entries: Sequence[Entry]) -> NDArray[np.float64] | None:
        """Takes the norm of each text's gradient over the adapter; None without one."""
        if self.module is None:
            return None
        return gradient_norms(self.lm, examples_of(entries), LOSS, self.module, end=False)

    def _how(self, rows: int) -> dict[str, Any]:
        """The keywords that every scoring function takes."""
        bank = None if self.module is None else AdapterBank([self.module])
        weights = None if self.module is None else np.ones((rows, 1))
        return {"loss": LOSS, "adapters": bank, "weights": weights, "remap": self.numbers}

    def _texts_alone(self, scores: TokenScores, entries: Sequence[Entry]) -> TokenScores:
        return without_end(scores, self._lengths([entry.text or "" for entry in entries]))

    def _lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in tokenize(self.lm, texts)], dtype=np.int64)


def examples_of(entries: Sequence[Entry]) -> list[Example]:
    """Returns the records as a model reads them."""
    return [Example(entry.prompt, entry.text or "") for entry in entries]


def evidence_of(
    probe: Probe, reference: Probe | None, lists: RecordLists
) -> tuple[Evidence, tuple[str, ...]]:
    """Makes every pass that these records allow.

    Args:
        probe: The audited model.
        reference: What it is compared with.
        lists: The records; public ones open the attacks that compare with some.

    Returns:
        The evidence, and what could not be measured, in words.
    """
    half = min(SHOTS, len(lists.public) // 2)
    shots, others = lists.public[:half], lists.public[half:]
    prefixed, notes = _prefixed(probe, lists.entries, shots)
    evidence = Evidence(
        target=probe.plain(lists.entries),
        reference=None if reference is None else reference.plain(lists.entries),
        lowercase=probe.lowercase(lists.entries),
        repeated=probe.repeated(lists.entries),
        prefixed=prefixed,
        population=_population(probe, reference, others),
        corpus=_corpus(probe, lists.public),
        gradient_norm=probe.gradients(lists.entries),
    )
    return evidence, notes


def _prefixed(
    probe: Probe, entries: Sequence[Entry], shots: Sequence[Entry]
) -> tuple[TokenScores | None, tuple[str, ...]]:
    if not shots:
        return None, ()
    try:
        return probe.prefixed(entries, shots), ()
    except ModelError as error:
        return None, (f"attacks with a prefix were left out: {error}",)


def _population(probe: Probe, reference: Probe | None, others: Sequence[Entry]) -> Evidence | None:
    if not others:
        return None
    return Evidence(
        target=probe.plain(others),
        reference=None if reference is None else reference.plain(others),
        lowercase=probe.lowercase(others),
        repeated=probe.repeated(others),
    )


def _corpus(probe: Probe, public: Sequence[Entry]) -> NDArray[np.int64] | None:
    """Counts of the tokens in the public texts, by number; None without any."""
    if not public:
        return None
    ids = [token for found in tokenize(probe.lm, [entry.text or "" for entry in public]) for token in found]
    size = int(probe.numbers.max()) + 1
    return np.bincount(probe.numbers[np.array(ids, dtype=np.int64)], minlength=size).astype(np.int64)


def token_numbers(lm: LanguageModel, entries: Sequence[Entry]) -> NDArray[np.int64]:
    """Numbers a tokenizer's ids by first appearance in texts, shape ``(vocabulary,)``.

    Equality and frequency survive, and without the texts nobody can turn the numbers back into words. Ids
    of no text share the last number.

    Args:
        lm: The model.
        entries: The records, first those that are audited.

    Returns:
        A number per id.
    """
    ids = [token for found in tokenize(lm, [entry.text or "" for entry in entries]) for token in found]
    seen = list(dict.fromkeys(ids))
    numbers = np.full(max(len(lm.tokenizer), lm.embedding_shape[0]), len(seen), dtype=np.int64)
    numbers[seen] = np.arange(len(seen))
    return numbers


def without_end(scores: TokenScores, lengths: NDArray[np.int64]) -> TokenScores:
    """Drops the score of the end-of-sequence token.

    Nobody knows whether somebody else's texts were trained with one; where they were not, it would be the
    unlikeliest token of every record and drown the others.

    Args:
        scores: Scores of texts that may end with one more token.
        lengths: ``(N,)`` Tokens of the text alone; a text that was cut has fewer scored ones.

    Returns:
        Scores of at most so many tokens per record.
    """
    kept = np.minimum(scores.lengths, lengths)
    place = np.arange(scores.offsets[-1]) - np.repeat(scores.offsets[:-1], scores.lengths)
    inside = place < np.repeat(kept, scores.lengths)
    return TokenScores(
        offsets=np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
        logp=scores.logp[inside],
        mean_logp=scores.mean_logp[inside],
        std_logp=scores.std_logp[inside],
        is_argmax=scores.is_argmax[inside],
        token=scores.token[inside],
        compressed_bytes=scores.compressed_bytes,
    )
