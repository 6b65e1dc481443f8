"""Parts of evidence on disk: token scores and arrays by name, in one file without text."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from attacks import TokenScores

Part = TokenScores | NDArray[np.float64]
Parts = Mapping[str, Part]


def parts_to_bytes(parts: Parts) -> bytes:
    """Returns parts of evidence as a safetensors file.

    Args:
        parts: Token scores and arrays by name; a name holds no slash.

    Returns:
        The content of the file.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        if isinstance(part, TokenScores):
            tensors |= {f"{name}/{field.name}": getattr(part, field.name) for field in fields(part)}
        else:
            tensors[name] = np.ascontiguousarray(part)
    return save(tensors)


def load_parts(path: Path) -> dict[str, Part]:
    """Reads what `parts_to_bytes` made."""
    arrays: dict[str, dict[str, NDArray[np.float64]]] = {}
    found: dict[str, Part] = {}
    for name, array in load_file(path).items():
        part, slash, field = name.partition("/")
        if slash:
            arrays.setdefault(part, {})[field] = array
        else:
            found[part] = array
    tokens: dict[str, Part] = {name: TokenScores(**part) for name, part in arrays.items()}  # type: ignore[arg-type]
    return tokens | found
