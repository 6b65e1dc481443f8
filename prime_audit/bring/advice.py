"""What a person can do to open an attack that what was handed in does not allow."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Literal

_ONLY_STUDY: Final = "only in a study"
_PUBLIC: Final = "give --public FILE, records that nobody trained on"
_MODEL: Final = "give --base with --members and --nonmembers: a file of scores cannot hold what it reads"
_OF_STUDIES: Final = MappingProxyType(
    {
        "shadows": f"{_ONLY_STUDY} (it trains shadow modules, audit.shadows)",
        "prefixed_members": f"{_ONLY_STUDY} (it puts records of others in the merge before each one)",
        "neighbours": f"{_ONLY_STUDY} (it alters words of each record)",
        "amplified": f"{_ONLY_STUDY} (it knows the norm that a module has before it is merged)",
        "overlap": f"{_ONLY_STUDY} (its task says how answers are generated)",
        "pretrained": f"{_ONLY_STUDY} (it keeps the base and the pretrained model apart); "
        "here --reference names either, for the attack 'reference'",
    }
)
_OF_MODELS: Final = MappingProxyType(
    {
        "reference": "give --adapter DIR, or name the model that this one was trained from with --reference",
        "gradient_norm": "give --adapter DIR: the gradient is over an adapter's parameters",
        "prefixed": f"{_PUBLIC}: two or more, short enough to stand before a record",
        "population": f"{_PUBLIC}: two or more",
        "corpus": _PUBLIC,
    }
)
_OF_SCORES: Final = MappingProxyType(
    {
        "reference": "give the column base_logp: the base's log-probabilities of the same tokens",
        "compressed_bytes": "give the column text",
    }
)


def advise(lacking: Sequence[str], brought: Literal["model", "scores"]) -> str:
    """Says what to hand in for an attack, in options and columns and not in parts of the evidence.

    Args:
        lacking: The parts of the evidence that the attack needs and that were not measured.
        brought: What was handed in: a model with records, or a file of scores.

    Returns:
        One sentence; where nothing can open the attack but a study, that alone.
    """
    parts = dict.fromkeys(part.removeprefix("population.") for part in lacking)
    told = [_OF_STUDIES[part] for part in parts if part in _OF_STUDIES]
    if not told:
        known = _OF_MODELS if brought == "model" else _OF_SCORES
        fallback = f"needs {', '.join(parts)}, which was not measured" if brought == "model" else _MODEL
        told = [known.get(part, fallback) for part in parts]
        # One thing opens it all: whoever brings a model needs no further column.
        told = [_MODEL] if _MODEL in told else told
    return "; ".join(dict.fromkeys(told))
