"""Small JSON files that lie beside a module and say how it was made."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from prime_audit.core import read_json
from prime_audit.errors import ModelError

_Read = TypeVar("_Read", bound=BaseModel)


def read_sidecar(path: Path, as_what: type[_Read], hint: str) -> _Read:
    """Reads and checks such a file.

    Args:
        path: The file, in the module's folder.
        as_what: What it must hold.
        hint: What to do where it holds something else.

    Returns:
        What it holds.

    Raises:
        ModelError: The file says something else.
        DataError: It is missing, or no valid JSON.
    """
    try:
        return as_what.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(f"module {path.parent}: {path.name}: {where}: {first['msg']}", hint=hint) from error
