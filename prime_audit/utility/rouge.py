"""ROUGE as LaMP computes it, remembered per pair of texts since a search asks for the same pairs again."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


@lru_cache(maxsize=1 << 16)
def rouge(prediction: str, gold: str) -> tuple[float, float]:
    """Return ROUGE-1 and ROUGE-L of one text (Lin 2004).

    Args:
        prediction: The text to judge.
        gold: The text it should be.

    Returns:
        Both F-measures, in [0, 1].
    """
    scores = _scorer().score(gold.strip(), prediction.strip())
    return float(scores["rouge1"].fmeasure), float(scores["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _scorer() -> "RougeScorer":
    """The scorer; it is imported on first use, since that takes two seconds."""
    from rouge_score.rouge_scorer import RougeScorer

    # Without a stemmer, as in LaMP. The tokenizer keeps a-z and 0-9 alone: other scripts score 0.
    return RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
