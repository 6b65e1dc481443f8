"""The arguments that several commands share."""

import json
from collections.abc import Sequence
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


def with_sharers(overrides: Sequence[str] | None, sharers: Path | None) -> list[str]:
    """Add the option --sharers to what --set changes.

    Args:
        overrides: The values of --set.
        sharers: The value of --sharers.

    Returns:
        All settings.
    """
    told = [f"data.sharers_from={json.dumps(str(sharers))}"] if sharers is not None else []
    return [*(overrides or ()), *told]


def carried_out(executor: str | None, workers: int | None, address: str | None) -> list[str]:
    """Turn the options about where the work is done into settings.

    Args:
        executor: The value of --executor.
        workers: The value of --workers.
        address: The value of --address.

    Returns:
        The settings, in the form of --set.
    """
    told = {"executor": executor, "workers": workers, "address": address}
    return [f"run.{name}={json.dumps(value)}" for name, value in told.items() if value is not None]
