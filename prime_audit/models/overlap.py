"""How much of a record's answer a model generates from its prompt: an attack that needs nothing but text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prime_audit.data import Task
from prime_audit.models.adapters import RowAdapters
from prime_audit.models.decoding import choose_labels, generate, score_labels
from prime_audit.models.encoding import Example
from prime_audit.models.language_model import LanguageModel
from prime_audit.models.sampling import Draws
from prime_audit.utility.rouge import rouge

TEMPERATURE = 1.0
TOP_P = 0.95


def generation_overlap(
    lm: LanguageModel,
    task: Task,
    examples: Sequence[Example],
    samples: int,
    seed: int,
    *,
    adapters: RowAdapters | None = None,
    weights: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Returns the mean overlap of sampled answers with the records' own.

    Models that are compared with the same seed get the same random numbers.

    Args:
        lm: The model.
        task: How it is answered: text by sampled decoding at temperature 1 within the likeliest 95 %, labels
            by drawing one.
        examples: N records.
        samples: Answers per record, at least one.
        seed: Decides the draws.
        adapters: Modules to mix in, or None.
        weights: Merge weights ``(N, modules)``; given exactly if ``adapters`` is.

    Returns:
        ``(N,)`` mean ROUGE-L F of the answers, or share of right labels; in [0, 1].
    """
    prompts = [example.prompt for example in examples]
    golds = [example.completion.strip() for example in examples]
    text = task.kind == "text"
    steps = task.max_new_tokens if text else 1
    uniforms = np.random.default_rng(seed).random((samples * len(examples), steps))
    draws = Draws(TEMPERATURE, TOP_P, uniforms)
    if text:
        rows = None if weights is None else np.concatenate([weights] * samples)
        said = generate(
            lm, prompts * samples, max_new_tokens=steps, adapters=adapters, weights=rows, draws=draws
        )
        found = [rouge(one, gold)[1] for one, gold in zip(said, golds * samples, strict=True)]
    else:
        scores = score_labels(lm, prompts, task.labels, adapters=adapters, weights=weights)
        chosen = choose_labels(np.concatenate([scores] * samples), draws)
        right = zip(chosen, golds * samples, strict=True)
        found = [float(task.labels[place] == gold) for place, gold in right]
    mean: NDArray[np.float64] = np.array(found).reshape(samples, len(examples)).mean(axis=0)
    return mean
