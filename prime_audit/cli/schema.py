"""`prime-audit schema`: the JSON Schema of a file format."""

import json
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """The formats that have a schema."""

    study = "study"
    results = "results"


def schema(
    what: Annotated[Format, typer.Argument(metavar="study|results", help="Which format.")],
) -> None:
    """Print the JSON Schema of a file format."""
    if what is Format.study:
        from prime_audit.config import study_schema

        document = study_schema()
    else:
        from prime_audit.results import results_schema

        document = results_schema()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
