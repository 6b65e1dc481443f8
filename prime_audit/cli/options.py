"""The arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a bundled study, or path of a study file.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Users to read instead of those the study names.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as training.rank=4; repeatable."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed in place of the study's.")]
