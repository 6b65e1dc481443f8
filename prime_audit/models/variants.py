"""The same records read in another way: in lower case, twice in a row, or after other records."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.errors import ModelError
from prime_audit.models.adapters import RowAdapters
from prime_audit.models.encoding import Encoded, Example, encode_all, tokenize
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.scoring import compressed_bytes, score_encoded, score_tokens

# Between records that follow one another.
SEPARATOR = "\n\n"


def score_lowercase(
    lm: LanguageModel,
    examples: Sequence[Example],
    *,
    loss: str = "answer",
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores records whose prompt and completion are in lower case.

    Args:
        lm: The model.
        examples: The records as they are.
        loss: ``answer`` or ``full``.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(examples, modules)``; given exactly if ``adapters`` is.
        remap: Token numbers; ids that no record holds share one.

    Returns:
        The evidence; its tokens are those of the lower-case texts.
    """
    lower = [Example(one.prompt.lower(), one.completion.lower()) for one in examples]
    return score_tokens(lm, lower, loss=loss, adapters=adapters, weights=weights, remap=remap)


def score_repeated(
    lm: LanguageModel,
    examples: Sequence[Example],
    *,
    loss: str = "answer",
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores each record's second copy, where the model reads it twice in a row.

    Args:
        lm: The model.
        examples: The records.
        loss: ``answer`` or ``full``.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(examples, modules)``; given exactly if ``adapters`` is.
        remap: Token numbers.

    Returns:
        The evidence, with the tokens of a plain pass.
    """
    encoded = encode_repeated(lm, examples, loss)
    sizes = compressed_bytes(examples, loss)
    return score_encoded(lm, encoded, sizes, adapters=adapters, weights=weights, remap=remap)


def encode_repeated(lm: LanguageModel, examples: Sequence[Example], loss: str) -> list[Encoded]:
    """Encodes each record twice in a row, a blank line between the copies; the second is scored.

    Args:
        lm: The model. Of a first copy that does not fit beside the second its beginning is left out; before
            a record that fills the context nothing is left, and its scores are those of a plain pass.
        examples: The records.
        loss: ``answer`` or ``full``.

    Returns:
        One encoding per record; the tokens that are scored are those of `encode_all`.
    """
    (blank,) = tokenize(lm, [SEPARATOR])
    # The text lies between BOS and EOS. A record that was cut has no room for a first copy anyway.
    return [_after(lm, one, [*one.ids[1:-1], *blank]) for one in encode_all(lm, examples, loss)]


def score_prefixed(
    lm: LanguageModel,
    examples: Sequence[Example],
    shots: Sequence[Example] | Sequence[Sequence[Example]],
    *,
    loss: str = "answer",
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores records after other records, which are read and not scored.

    Args:
        lm: The model.
        examples: The records.
        shots: What stands before all of them, or one sequence per record: as many of the first ones as fit
            whole, in this order, each with a blank line after it.
        loss: ``answer`` or ``full``.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(examples, modules)``; given exactly if ``adapters`` is.
        remap: Token numbers.

    Returns:
        The evidence, with the tokens of a plain pass.

    Raises:
        ModelError: Before some record not even the first of the shots fits.
        ValueError: A record has no shots, or there are shots for another number of records.
    """
    before = _shots_per_record(shots, len(examples))
    tokens = _with_separator(lm, [shot for row in before for shot in row])
    encoded = [
        _after(lm, one, _fitting(lm, one, [tokens[shot] for shot in row]))
        for one, row in zip(encode_all(lm, examples, loss), before, strict=True)
    ]
    sizes = compressed_bytes(examples, loss)
    return score_encoded(lm, encoded, sizes, adapters=adapters, weights=weights, remap=remap)


def leaves_room(lm: LanguageModel, examples: Sequence[Example], shot: Example, loss: str) -> bool:
    """Says whether a record fits before each of some records within the model's context.

    Args:
        lm: The model.
        examples: The records.
        shot: What would stand before them.
        loss: ``answer`` or ``full``.

    Returns:
        False if `score_prefixed` would refuse one of them.
    """
    longest = max((len(one.ids) for one in encode_all(lm, examples, loss)), default=0)
    return longest + len(_with_separator(lm, [shot])[shot]) <= lm.max_tokens


def _shots_per_record(
    shots: Sequence[Example] | Sequence[Sequence[Example]], count: int
) -> list[list[Example]]:
    shared = [shot for shot in shots if isinstance(shot, Example)]
    rows = [list(row) for row in shots if not isinstance(row, Example)]
    if shared and rows:
        raise ValueError("shots: give records, or one sequence of records for each, not both")
    if not rows:
        rows = [shared] * count
    if len(rows) != count:
        raise ValueError(f"shots: there are {len(rows)} sequences for {count} records")
    for place, row in enumerate(rows):
        if not row:
            raise ValueError(f"shots: there is no record to put before record {place}")
    return rows


def _with_separator(lm: LanguageModel, examples: Sequence[Example]) -> dict[Example, list[int]]:
    """The tokens of each different record and of a blank line after it."""
    (blank,) = tokenize(lm, [SEPARATOR])
    different = list(dict.fromkeys(examples))
    prompts = tokenize(lm, [one.prompt for one in different])
    completions = tokenize(lm, [one.completion for one in different])
    return {
        one: [*prompt, *said, *blank]
        for one, prompt, said in zip(different, prompts, completions, strict=True)
    }


def _fitting(lm: LanguageModel, one: Encoded, before: Sequence[Sequence[int]]) -> list[int]:
    room, kept = lm.max_tokens - len(one.ids), list[int]()
    for shot in before:
        if len(kept) + len(shot) > room:
            break
        kept += shot
    if not kept:
        raise ModelError(
            f"model {lm.name}: a record of {len(one.ids)} tokens leaves no room for another one of "
            f"{len(before[0])} before it within {lm.max_tokens}",
            hint="raise training.max_tokens, lower data.max_input_words, or leave out attacks with a prefix",
        )
    return kept


def _after(lm: LanguageModel, one: Encoded, context: Sequence[int]) -> Encoded:
    """Puts tokens between BOS and a record; what does not fit loses its beginning. The record stays whole."""
    room = lm.max_tokens - len(one.ids)
    kept = list(context)[-room:] if room > 0 else []
    return replace(
        one,
        ids=(one.ids[0], *kept, *one.ids[1:]),
        scored=(False, *[False] * len(kept), *one.scored[1:]),
    )
