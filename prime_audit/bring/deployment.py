"""What an adapter is deployed on, where a file beside it says so."""

from dataclasses import dataclass
from pathlib import Path

from prime_audit.core import read_json
from prime_audit.errors import ModelError
from prime_audit.models import LanguageModel


@dataclass(frozen=True)
class Deployment:
    """What a file says of the model that an adapter lies on.

    Attributes:
        source: Name of the file.
        quantization: How the base's weights were quantised, or None if they were held in full.
        digest: Digest of the base before any adaptation.
        adapted: Whether a task adaptation lies between that base and the adapter.
    """

    source: str
    quantization: object
    digest: object
    adapted: bool


def deployment_of(adapter: Path) -> Deployment | None:
    """Reads what an adapter is deployed on.

    Args:
        adapter: A folder that `personalize` wrote (``private.json``), or one under ``modules/`` of a run
            directory (``manifest.json``).

    Returns:
        What is said; None for any other adapter, and for one whose file somebody else may not read.

    Raises:
        DataError: The file is no JSON.
    """
    card = adapter / "private.json"
    place = adapter.resolve()
    # modules/<method>/<target>
    inside = len(place.parents) > 2 and place.parents[1].name == "modules"
    source = card if card.is_file() or not inside else place.parents[2] / "manifest.json"
    try:
        source.open("rb").close()
    except OSError:
        return None
    content = read_json(source)
    base = content.get("base" if source is card else "model") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(base, dict) or "quantization" not in base:
        return None
    modules = content.get("modules")
    under = content if source is card else modules if isinstance(modules, dict) else {}
    return Deployment(source.name, base["quantization"], base.get("digest"), bool(under.get("adaptation")))


def check_deployment(adapter: Path, lm: LanguageModel) -> None:
    """Refuses an adapter on another model than the one that it is known to be deployed on.

    Args:
        adapter: The adapter's folder.
        lm: The model that it is put on.

    Raises:
        ModelError: The weights are held otherwise, or this is the base without the task adaptation.
        DataError: The file beside the adapter is no JSON.
    """
    said = deployment_of(adapter)
    if said is None:
        return
    if (said.quantization is None) != (lm.quantization is None):
        both = (said.quantization is None, lm.quantization is None)
        made, here = ("in full" if full else "in 4 bits" for full in both)
        raise ModelError(
            f"{adapter}: {said.source} says that its base is {made}, and here the base is {here}: "
            "another model",
            hint="leave --quantize out" if said.quantization is None else "add --quantize 4bit",
        )
    if said.adapted and said.digest == lm.digest:
        raise ModelError(
            f"{adapter}: {said.source} says that it lies on a task adaptation of this base, and here is "
            "the base without it: another model",
            hint="merge the adaptation into the base, save that in a folder, and name the folder with --base",
        )
