"""Words about a person: from a template, written by a model, or given with the data.

Source: profile augmentation as OPPU (arXiv:2402.04401) uses it, with a profile that a language model writes
from the history; the wording is this project's own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from prime_audit.config import ProfileSettings
from prime_audit.core import digest_json
from prime_audit.data import Item, Task
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import LanguageModel, count_tokens, first_tokens, generate, metered
from prime_audit.personalize.types import TargetContext

_WORD: Final = re.compile(r"\w{4,}")
_WORDS: Final = 8
_ANSWERS: Final = 3
_ASK: Final = "In a few sentences, describe this person's interests and style, as the items above show them."
_CUE: Final = "Description:"


@dataclass(frozen=True)
class Profile:
    """Words about a person.

    Attributes:
        text: What a prompt shows.
        private: The pieces of it that come from the history, which an audit looks for in answers; empty if
            no history was read.
    """

    text: str
    private: tuple[str, ...]


def profile_of(context: TargetContext, settings: ProfileSettings) -> Profile:
    """Makes or finds a target's profile.

    Args:
        context: The target's context.
        settings: Where the profile comes from, and its longest length in tokens.

    Returns:
        The profile.

    Raises:
        DataError: Given profiles are asked for, and the target has none.
    """
    most = settings.max_profile_tokens
    if settings.source == "given":
        given = (context.target.profile_text or "").strip()
        if not given:
            raise DataError(
                f"method {settings.id}: target {context.target.id} has no profile_text",
                hint="add it to the data, or set 'source: template' or 'source: written'",
            )
        return Profile(first_tokens(context.base, given, most), ())
    if settings.source == "written":
        text = written(context, settings)
        return Profile(text, (text,) if text else ())
    pieces = template(context.task, context.target.history, context.public)
    text = first_tokens(context.base, " ".join(pieces), most)
    return Profile(text, tuple(piece for piece in pieces if piece in text))


def template(task: Task, history: Sequence[Item], public: Sequence[Item] = ()) -> tuple[str, ...]:
    """Describes a history in fixed sentences.

    Args:
        task: The task; it decides what is said of the answers.
        history: The history.
        public: Items of public users; a word that they use too counts for less.

    Returns:
        The sentences: frequent words of a text task (ranked by ``n log((1 + P) / (1 + p))`` for n items of
        the history and p of P public items that hold them), frequent answers of any other. None for an
        empty history.
    """
    answers = [item.answer for item in history if item.answer]
    if not answers:
        return ()
    if task.kind != "text":
        shares = Counter(answers).most_common()
        ranked = sorted(shares, key=lambda one: (-one[1], task.labels.index(one[0])))[:_ANSWERS]
        listed = ", ".join(f"{answer} ({100 * count / len(answers):.0f} %)" for answer, count in ranked)
        found = [f"Usual answers: {listed}."]
        if task.kind == "number":
            found.append(f"Mean answer: {np.mean([float(answer) for answer in answers]):.1f}.")
        return tuple(found)
    length = round(float(np.mean([len(answer.split()) for answer in answers])))
    words = ", ".join(_frequent(history, public))
    about = [f"Often writes of {words}."] if words else []
    return (*about, f"Answers have about {length} words.")


def _frequent(history: Sequence[Item], public: Sequence[Item]) -> list[str]:
    """Words of at least two items, the most telling first; equal ones by the alphabet."""
    own, others = _documents(history), _documents(public)
    found = {word: count for word, count in own.items() if count > 1}
    # Without public users all that is known of a word is how often the person uses it.
    weight = {
        word: count * (float(np.log((1 + len(public)) / (1 + others[word]))) if public else 1.0)
        for word, count in found.items()
    }
    return sorted(weight, key=lambda word: (-weight[word], word))[:_WORDS]


def _documents(items: Sequence[Item]) -> Counter[str]:
    """In how many items each word stands."""
    texts = (f"{item.input} {item.answer or ''}".lower() for item in items)
    return Counter(word for text in texts for word in set(_WORD.findall(text)))


def written(context: TargetContext, settings: ProfileSettings) -> str:
    """Has the pretrained model describe a history; the latest items that fit are shown to it.

    The words stay in memory, where other methods of the same study find them again, and reach no disk.

    Args:
        context: The target's context.
        settings: The longest profile in tokens.

    Returns:
        The profile, without its line breaks; empty if the model says nothing.

    Raises:
        ConfigError: The context holds no model that could write.
    """
    if context.writer is None:
        raise ConfigError(
            f"method {settings.id}: there is no model here that could write a profile",
            hint="set 'source: template' or 'source: given'",
        )
    lm, most = context.writer, settings.max_profile_tokens
    prompt = _request(lm, context.task.past, context.target.history, lm.max_tokens - most - 1)
    key = digest_json([lm.digest, prompt, most])
    if key not in context.memory:
        with metered() as meter:
            (said,) = generate(lm, [prompt], max_new_tokens=most)
        context.memory[key] = (" ".join(said.split()), meter)
    text, cost = context.memory[key]
    # Whoever comes second pays as well: what a method costs does not depend on the others.
    cost.charge()
    return text


def _request(lm: LanguageModel, task: Task, history: Sequence[Item], room: int) -> str:
    shown = [f"{task.input_name}: {item.input}\n{task.answer_name}: {item.answer}\n\n" for item in history]
    while len(shown) > 1 and count_tokens(lm, [f"{''.join(shown)}{_ASK}\n{_CUE}"])[0] > room:
        shown = shown[1:]
    return f"{''.join(shown)}{_ASK}\n{_CUE}"
