"""From text to token ids: one BOS policy, one way to cut, one mask of scored tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from prime_audit.models.language_model import LanguageModel


@dataclass(frozen=True)
class Example:
    """One record as a model is trained and scored on it.

    Attributes:
        prompt: What is given; not scored under loss ``answer``.
        completion: What is to be said, with its leading space.
    """

    prompt: str
    completion: str


@dataclass(frozen=True)
class Encoded:
    """Token ids of an example.

    Attributes:
        ids: BOS, prompt, completion, EOS.
        scored: For every token of ``ids``, whether it is scored; never the first.
        cut: Number of tokens that did not fit and were left out.
    """

    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    cut: int = 0


def tokenize(lm: LanguageModel, texts: Sequence[str]) -> list[list[int]]:
    """Tokenizes texts without adding anything.

    A text that spells out a special token (such as ``</s>``) gets the tokens of those characters, so that
    nobody's history can end a sequence.

    Args:
        lm: The model whose tokenizer is used.
        texts: Any texts.

    Returns:
        Token ids per text.
    """
    if not texts:
        return []
    ids: list[list[int]] = lm.tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        verbose=False,
    )["input_ids"]
    return ids


def encode_all(lm: LanguageModel, examples: Sequence[Example], loss: str) -> list[Encoded]:
    """Encodes examples; see `encode`.

    Args:
        lm: The model.
        examples: Prompts and completions.
        loss: ``answer`` or ``full``.

    Returns:
        One encoding per example.
    """
    if loss not in ("answer", "full"):
        raise ValueError(f"loss must be 'answer' or 'full', not {loss!r}")
    prompts = tokenize(lm, [example.prompt for example in examples])
    completions = tokenize(lm, [example.completion for example in examples])
    return [
        _join(lm, prompt, completion, loss) for prompt, completion in zip(prompts, completions, strict=True)
    ]


def encode(lm: LanguageModel, example: Example, loss: str) -> Encoded:
    """Encodes one example.

    BOS (EOS where the tokenizer has no BOS) is prepended once, so the first token of the text is scored
    too; prompt and completion are tokenized apart and joined; EOS is appended. What exceeds
    ``lm.max_tokens`` is cut from the left of the prompt; a completion that does not fit even then loses
    its end.

    Args:
        lm: The model.
        example: Prompt and completion.
        loss: ``answer`` scores completion and EOS; ``full`` scores everything after BOS.

    Returns:
        Ids and mask.
    """
    return encode_all(lm, [example], loss)[0]


def encode_prompts(lm: LanguageModel, prompts: Sequence[str], room: int) -> list[list[int]]:
    """Encodes prompts that will be continued.

    Args:
        lm: The model.
        prompts: Complete prompts.
        room: Most tokens that a prompt may take, BOS included; longer ones lose their beginning.

    Returns:
        BOS and the prompt's tokens, per prompt.
    """
    return [[lm.bos_id, *_last(ids, room - 1)] for ids in tokenize(lm, prompts)]


def as_read(lm: LanguageModel, texts: Sequence[str], room: int | None = None) -> list[str]:
    """Returns texts as a model reads them: tokenized, cut at the beginning and turned back into text.

    Args:
        lm: The model.
        texts: Any texts.
        room: Most tokens of a text, BOS included, as for `encode_prompts`; None cuts nothing.

    Returns:
        What is left of every text; a piece of a text is found in it exactly where the model reads that piece.
    """
    rows = tokenize(lm, texts) if room is None else [row[1:] for row in encode_prompts(lm, texts, room)]
    found: list[str] = lm.tokenizer.batch_decode(rows, clean_up_tokenization_spaces=False)
    return found


def _join(lm: LanguageModel, prompt: list[int], completion: list[int], loss: str) -> Encoded:
    whole = 2 + len(prompt) + len(completion)
    tail = [*completion, lm.eos_id][: lm.max_tokens - 1]
    head = _last(prompt, lm.max_tokens - 1 - len(tail))
    ids = (lm.bos_id, *head, *tail)
    scored = (False, *[loss == "full"] * len(head), *[True] * len(tail))
    return Encoded(ids=ids, scored=scored, cut=whole - len(ids))


def _last(ids: list[int], count: int) -> list[int]:
    return ids[-count:] if count > 0 else []
