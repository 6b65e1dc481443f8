"""How much of a text fits: counting tokens, cutting texts, and the room that an answer leaves a prompt."""

from collections.abc import Sequence

from prime_audit.data import Task
from prime_audit.models.encoding import tokenize
from prime_audit.models.language_model import LanguageModel


def count_tokens(lm: LanguageModel, texts: Sequence[str]) -> list[int]:
    """Counts the tokens of texts, without BOS and EOS.

    Args:
        lm: The model whose tokenizer is used.
        texts: Any texts.

    Returns:
        One count per text.
    """
    return [len(ids) for ids in tokenize(lm, texts)]


def first_tokens(lm: LanguageModel, text: str, count: int) -> str:
    """Cuts a text at its end.

    Args:
        lm: The model whose tokenizer is used.
        text: Any text.
        count: Most tokens to keep, at least 0.

    Returns:
        The beginning of the text; the text itself, to the letter, where it is short enough.
    """
    (ids,) = tokenize(lm, [text])
    if len(ids) <= count:
        return text
    (kept,) = lm.tokenizer.batch_decode([ids[:count]], clean_up_tokenization_spaces=False)
    # A character may be several tokens, and half of one is no character.
    return str(kept).rstrip("\ufffd").strip()


def prompt_room(lm: LanguageModel, task: Task) -> int:
    """Returns how many tokens a prompt may take, BOS aside, beside the longest answer of a task.

    Args:
        lm: The model.
        task: The task; its longest answer is generated text or its longest label.

    Returns:
        The tokens; 0 where the answer alone fills the context.
    """
    longest = task.max_new_tokens
    if task.kind != "text":
        longest = max(count_tokens(lm, [task.completion(label) for label in task.labels]))
    return max(0, lm.max_tokens - longest - 1)
