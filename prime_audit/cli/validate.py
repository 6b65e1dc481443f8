"""`prime-audit validate`: check a study and its data without computing anything."""

from typing import Annotated

import typer

from prime_audit.cli.options import DataOption, SeedOption, SetOption, StudyArgument


def validate(
    study: StudyArgument,
    data: DataOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Count the units of work by stage.")] = False,
) -> None:
    """Check a study file and its data; every fault is listed."""
    from prime_audit.config import load_study

    config = load_study(study, overrides or (), seed, data)
    # Only now: the study room brings in torch, and a wrong key should be answered at once.
    from prime_audit.study.inputs import load_dataset
    from prime_audit.study.plan import describe_plan

    dataset = load_dataset(config)
    records = sum(len(user.history) for user in dataset.users)
    people = (
        f"{len(dataset.sharers)} sharers, {len(dataset.targets)} targets, {len(dataset.public)} public users"
    )
    typer.echo(f"{config.name} is valid: task {config.task}, {people}, {records} records")
    if plan:
        stages = describe_plan(config)
        for stage, count in stages:
            typer.echo(f"{count:6d}  {stage}")
        typer.echo(f"{sum(count for _, count in stages):6d}  units in all")
