"""Altered copies of a record: what a model says of texts that are nearly the same."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.models.adapters import RowAdapters
from prime_audit.models.encoding import Example
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.scoring import score_tokens

_WORD = re.compile(r"\S+")


def altered_copies(
    examples: Sequence[Example], count: int, seed: int, words: Sequence[str], loss: str = "answer"
) -> list[Example]:
    """Makes copies in which one word of the scored text is another one.

    The published attack lets a masked language model propose the word (arXiv 2305.18462). None is at hand
    offline, so the word is drawn from given words, such as those of public text; copies are then less fluent
    than the published ones, for members and non-members alike.

    Args:
        examples: N records.
        count: Copies of each.
        seed: Decides places and words; a record's copies depend on its position alone, not on the others.
        words: At least two different words.
        loss: ``answer`` alters the completion, ``full`` the prompt or the completion.

    Returns:
        ``count * N`` records, those of one after the other's; a record without a word keeps its text.

    Raises:
        ValueError: There are not two different words.
    """
    if len(set(words)) < 2:
        raise ValueError("words: at least two different ones are needed")
    found = []
    for place, example in enumerate(examples):
        rng = np.random.default_rng([seed, place])
        found += [_altered(example, rng, words, loss) for _ in range(count)]
    return found


def _altered(example: Example, rng: np.random.Generator, words: Sequence[str], loss: str) -> Example:
    prompt = example.prompt if loss == "full" else ""
    text = prompt + example.completion
    spots = list(_WORD.finditer(text))
    if not spots:
        return example
    spot = spots[int(rng.integers(len(spots)))]
    word = spot.group()
    while word == spot.group():
        word = words[int(rng.integers(len(words)))]
    changed = text[: spot.start()] + word + text[spot.end() :]
    if loss != "full":
        return Example(example.prompt, changed)
    # Where the prompt ends moves with the length of a word that was exchanged in it.
    end = len(prompt) + (len(word) - len(spot.group()) if spot.start() < len(prompt) else 0)
    return Example(changed[:end], changed[end:])


def score_neighbours(
    lm: LanguageModel,
    examples: Sequence[Example],
    count: int,
    seed: int,
    words: Sequence[str],
    *,
    loss: str = "answer",
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
    remap: NDArray[np.integer] | None = None,
) -> TokenScores:
    """Scores the altered copies of records.

    Args:
        lm: The model.
        examples: N records.
        count: Copies of each.
        seed: Decides places and words.
        words: What a word may be exchanged for.
        loss: ``answer`` or ``full``.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(count * N, modules)``; given exactly if ``adapters`` is.
        remap: Token numbers; ids that no record holds share one.

    Returns:
        The evidence about ``count * N`` records, in the order of `altered_copies`.
    """
    copies = altered_copies(examples, count, seed, words, loss)
    return score_tokens(lm, copies, loss=loss, adapters=adapters, weights=weights, remap=remap)
