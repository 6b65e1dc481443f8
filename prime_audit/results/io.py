"""Reading and writing results.json."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from prime_audit.core import RUN_MARKS, printable, read_json, write_json
from prime_audit.errors import DataError, IncompleteError
from prime_audit.results.schema import SCHEMA_VERSION, Results

_Model = TypeVar("_Model", bound=BaseModel)
_DIGITS = 10
_LISTED_FAULTS = 10


def write_results(path: Path, results: Results) -> None:
    """Write results.json; equal results give equal bytes.

    Args:
        path: Where the file goes.
        results: What the run found. Floats are rounded to 10 significant digits.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, plain(results))


def plain(model: BaseModel) -> object:
    """Turn a model into plain JSON values with floats rounded to 10 significant digits.

    Args:
        model: Results, a gate, or a part of them.

    Returns:
        Dicts, lists, strings, numbers, booleans and None.
    """
    return _rounded(model.model_dump(mode="json"))


def read_results(path: Path) -> Results:
    """Read and check results.json.

    Args:
        path: The file.

    Returns:
        The results.

    Raises:
        DataError: The file is missing, broken, of another version, or contradicts itself.
    """
    document = read_json(path)
    if not isinstance(document, dict) or "schema_version" not in document:
        raise DataError(f"{path}: this is not a results file (no schema_version)")
    version = document["schema_version"]
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {printable(str(version), 20)}; this program reads version "
            f"{SCHEMA_VERSION}",
            hint="open it with the prime-audit version that wrote it, or run the study again",
        )
    return read_model(Results, document, path)


def read_run_results(run: Path) -> Results:
    """Read the results of a run directory.

    Args:
        run: The directory.

    Returns:
        The results.

    Raises:
        IncompleteError: The run has not come to its end.
        DataError: There is no run, or its results cannot be read; see `read_results`.
    """
    path = run / "results.json"
    if not path.exists() and any((run / name).exists() for name in RUN_MARKS):
        raise IncompleteError(
            f"{run}: this run has not come to its end, so it has no results.json",
            hint="if it is still going on, wait for it; else the command that began it continues it",
        )
    return read_results(path)


def read_model(kind: type[_Model], document: object, path: Path) -> _Model:
    """Check parsed JSON against a model, naming every fault by its place in the file.

    Args:
        kind: The model's class.
        document: The parsed JSON.
        path: The file it came from, for messages.

    Returns:
        The model.

    Raises:
        DataError: The document does not fit; values are never quoted.
    """
    try:
        return kind.model_validate_json(json.dumps(document))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:_LISTED_FAULTS]]
        more = f" (and {len(faults) - _LISTED_FAULTS} more)" if len(faults) > _LISTED_FAULTS else ""
        raise DataError(
            f"{path}: {'; '.join(lines)}{more}", hint="the file was changed or cut; run the study again"
        ) from error


def results_schema() -> dict[str, object]:
    """Return the JSON Schema of results.json.

    Returns:
        The schema as plain JSON values.
    """
    schema = Results.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "prime-audit results"
    return schema


def _place(location: tuple[int | str, ...]) -> str:
    return printable(".".join(str(part) for part in location), 120) or "the whole file"


def _rounded(value: object) -> object:
    if isinstance(value, float):
        # Adding 0.0 turns -0.0 into 0.0, so that the sign of a zero cannot make two runs differ.
        return float(f"{value:.{_DIGITS}g}") + 0.0
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return value
