"""What the columns of `prime-audit list attacks` mean."""

from types import MappingProxyType
from typing import Final

WHO: Final = MappingProxyType(
    {
        "A0": "merges the modules, and so holds each sharer's own module",
        "A1": "holds the adapter file, as every target does",
        "A2": "queries the deployed model and reads the probability of each token",
        "A3": "queries the deployed model and reads only its text",
        "A4": "is a sharer who knows their own module",
        "A5": "is several targets together, or keeps successive releases",
    }
)
NEEDS: Final = MappingProxyType(
    {
        "logp": "log-probabilities of the record's tokens",
        "compressed_bytes": "the record's text, compressed",
        "mean_logp": "mean of logp over all tokens that might have come next",
        "std_logp": "their standard deviation",
        "is_argmax": "whether each token is the model's first choice",
        "token": "which tokens of the record are the same",
        "reference": "logp under the base too",
        "pretrained": "logp under the model as it came, before task adaptation",
        "lowercase": "logp of the record in lower case",
        "repeated": "logp of the record where it is read a second time",
        "neighbours": "logp of copies in which some words are changed",
        "prefixed": "logp after other records, which nobody trained on",
        "prefixed_members": "logp after another sharer's members",
        "population": "records that nobody trained on",
        "corpus": "word counts of texts that nobody trained on",
        "shadows": "modules trained with and without it (audit.shadows)",
        "gradient_norm": "the adapter file, for the record's gradient over it",
        "amplified": "the adapter file, scaled to the norm of a sharer's own",
        "overlap": "texts generated for the record",
    }
)


def legend() -> list[str]:
    """Explains the columns `who` and `needs`.

    Returns:
        Lines of at most 80 characters.
    """
    name = max(map(len, NEEDS))
    return [
        "",
        "who: the weakest adversary that can run it, one who ...",
        *(f"  {who}  {words}" for who, words in WHO.items()),
        "needs: what it reads about each record (the report says what would open it)",
        *(f"  {part:{name}}  {words}" for part, words in NEEDS.items()),
    ]
