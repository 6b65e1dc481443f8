"""`prime-audit validate`: check a study and its data without computing anything."""

from typing import Annotated

import typer

from prime_audit.cli.options import DataOption, SeedOption, SetOption, StudyArgument

_STAGES = {
    "adapt": "task adaptation of the base",
    "train": "one module per sharer, and per target for oppu",
    "gate": "Per-Pcs gates of one sharer",
    "select": "which sharers each target merges",
    "deploy": "one method for one target: personalise and answer",
    "score": "one forward pass over the records that are attacked",
    "premise": "attack on merges that one search evaluated",
}


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
    # Planning looks at all that a run would refuse, without computing anything.
    stages = describe_plan(config)
    records = sum(len(user.history) for user in dataset.users)
    people = (
        f"{len(dataset.sharers)} sharers, {len(dataset.targets)} targets, {len(dataset.public)} public users"
    )
    typer.echo(f"{config.name} is valid: task {config.task}, {people}, {records} records")
    if plan:
        for stage, count in stages:
            typer.echo(f"{count:6d}  {stage:8}  {_STAGES.get(stage, '')}".rstrip())
        typer.echo(f"{sum(count for _, count in stages):6d}  units in all")
