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
SharersOption = Annotated[
    Path | None,
    typer.Option("--sharers", help="Where the sharers of LaMP's layout are, if not in its train split."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key, such as training.rank=4; repeatable."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed in place of the study's.")]
