"""What of a method's code its outputs depend on, beside this project's own version."""

import inspect
from functools import cache
from importlib import metadata
from pathlib import Path

from prime_audit.config import METHOD_KINDS, MethodConfig, ModelConfig
from prime_audit.core import digest_file
from prime_audit.personalize import METHODS

# Each look-up reads a file, and a plan asks once per unit.
version = cache(metadata.version)
PACKAGES = ("torch", "transformers", "peft", "nevergrad", "numpy", "scipy", "scikit-learn", "bm25s")


def versions(model: ModelConfig) -> dict[str, str]:
    """Returns the versions of this program and of the packages that compute a study's figures."""
    return {"prime-audit": version("prime-audit"), **packages(model)}


def version_here(name: str) -> str:
    """Returns a package's version, or words that say that it is not installed."""
    try:
        return version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def packages(model: ModelConfig) -> dict[str, str]:
    """Returns the versions of the packages that compute a study's figures, without this program's own.

    Args:
        model: The study's model; one in 4 bits is computed by a further package.

    Returns:
        Version by package.
    """
    return {name: version(name) for name in (*PACKAGES, *quantizer(model))}


def quantizer(model: ModelConfig) -> dict[str, str]:
    """Returns the version of the package that holds a model's weights in 4 bits, if they are held so."""
    return {} if model.quantize is None else {"bitsandbytes": version("bitsandbytes")}


def identity_of(method: MethodConfig) -> dict[str, str]:
    """Returns what must be equal for a method's earlier output to be used again.

    Args:
        method: The method's settings.

    Returns:
        For a plug-in the digest of the file that defines it and the version of its package; for a search the
        version of the optimiser's library; nothing for the others.
    """
    found = {}
    if hasattr(method, "optimiser"):
        found["nevergrad"] = version("nevergrad")
    if method.kind in METHOD_KINDS:
        return found
    function = METHODS[method.kind].personalise
    source = inspect.getsourcefile(function)
    found["source"] = digest_file(Path(source)) if source else "unknown"
    package = function.__module__.partition(".")[0]
    for name in metadata.packages_distributions().get(package, []):
        found[name] = version(name)
    return found
