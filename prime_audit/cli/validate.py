"""`prime-audit validate`: check a study and its data without computing anything."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.judging import check_look
from prime_audit.cli.options import (
    DataOption,
    SeedOption,
    SetOption,
    SharersOption,
    StudyArgument,
    with_sharers,
)

if TYPE_CHECKING:
    from prime_audit.config import MethodConfig, StudyConfig
    from prime_audit.data import Dataset, Holdout

_STAGES = {
    "adapt": "task adaptation of the base",
    "train": "one module per sharer",
    "own": "one module of one target, for a method that trains one",
    "count": "tokens of the sharers' records",
    "gate": "Per-Pcs gates of one sharer",
    "select": "which sharers each target merges",
    "deploy": "one method for one target: personalise and answer",
    "score": "one forward pass over the records that are attacked",
    "premise": "attack on merges that one search evaluated",
    "pass": "further passes over those records, for attacks that need them",
    "shadow": "one shadow module: on another half of one sharer's records",
    "plant": "one sharer's module trained once more, with the planted secrets",
    "expose": "one model asked about the planted secrets",
    "cheat-honest": "one merge of planted modules, made as the next one is, without a crafted module",
    "cheat": "the same merge with a crafted module in it, asked about the victim's secrets",
    "claim": "whom each target selects when a sharer poses",
    "pose": "one method for one target, with the poser's module",
    "linkage": "one deployed adapter compared with all sharers' modules",
    "similarity": "how alike each target and each sharer are",
    "black-box": "one deployed model asked about the records of all sharers",
    "attributes": "sharers' attributes predicted from their modules",
    "prompt": "one deployed prompt asked to repeat the history that stands in it",
    "shade": "one model scored through the shadow modules of its sharers",
    "swap": "one module trained again with one record exchanged",
    "swapped": "merges (or an own module) with the exchanged record, scored",
    "select-pools": "two pools of sharers by a coin, and whom each target merges",
    "pool": "one method for one target, made from either pool",
}


def validate(
    study: StudyArgument,
    data: DataOption = None,
    sharers: SharersOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Count the units of work by stage, and the room on disk.")
    ] = False,
) -> None:
    """Check a study file and its data; every fault is listed.

    Exit code 4: a limit of the gate cannot be met with so few records.
    """
    from prime_audit.config import load_study
    from prime_audit.core import plural
    from prime_audit.errors import IncompleteError

    config = load_study(study, with_sharers(overrides, sharers), seed, data)
    check_look(config)
    # Only now: the study room brings in torch, and a wrong key should be answered at once.
    from prime_audit.study.inputs import load_dataset
    from prime_audit.study.plan import describe_plan

    dataset = load_dataset(config)
    # Planning looks at all that a run would refuse, without computing anything.
    stages = describe_plan(config)
    records = sum(len(user.history) for user in dataset.users)
    counts = (
        (len(dataset.sharers), "sharer"),
        (len(dataset.targets), "target"),
        (len(dataset.public), "public user"),
        (records, "record"),
    )
    found = ", ".join(plural(count, noun) for count, noun in counts)
    typer.echo(f"{config.name} is valid: task {config.task}, {found}")
    for note in dataset.notes:
        typer.echo(f"note: {note}")
    if plan:
        width = max((len(stage) for stage, _ in stages), default=0)
        for stage, count in stages:
            typer.echo(f"{count:6d}  {stage:{width}}  {_STAGES.get(stage, '')}".rstrip())
        typer.echo(f"{sum(count for _, count in stages):6d}  units in all")
        for line in _costs(config):
            typer.echo(line)
    if beyond := list(_out_of_reach(config, dataset)):
        raise IncompleteError(
            f"gate: {plural(len(beyond), 'limit')} cannot be met with so few records: {'; '.join(beyond)}",
            hint="take more records or sharers, or a limit that they can keep",
        )


def _costs(config: "StudyConfig") -> Iterator[str]:
    """Say what room a run takes, and what an earlier one took in time; nothing else is known beforehand."""
    from prime_audit.api import run_directory
    from prime_audit.core import read_json
    from prime_audit.errors import ModelError
    from prime_audit.study import describe_room

    try:
        yield f"on disk: {describe_room(config)}"
    except ModelError as error:
        yield f"on disk: not known, because {error}"
    path = run_directory(config) / "manifest.json"
    earlier = read_json(path) if path.is_file() else None
    if isinstance(earlier, dict) and isinstance(seconds := earlier.get("seconds"), dict):
        yield f"time: the run in {path.parent} computed for {sum(seconds.values()):.0f} s"


def _out_of_reach(config: "StudyConfig", dataset: "Dataset") -> Iterator[str]:
    """Name the limits on a leak that no run of this size can keep, with the records that they need."""
    from prime_audit.gate import records_short
    from prime_audit.personalize import METHODS
    from prime_audit.study.inputs import draw_design

    design = draw_design(config, dataset)
    for rule in config.gate.rules:
        if rule.metric != "mia.auc" or rule.max is None or rule.slice is not None:
            continue
        asked = [m for m in config.methods if rule.method in (None, m.id)]
        for subject in ("sharer", "target") if config.audit.design == "holdout" else ("sharer",):
            about = [method for method in asked if subject in METHODS[method.kind].about]
            if not about:
                continue
            members, others = min((_compared(method, subject, dataset, design) for method in about), key=min)
            needed = records_short(rule.max, members, others)
            if needed is not None:
                yield (
                    f"mia.auc of {rule.method or 'every method'} at most {rule.max:g} needs {needed} members "
                    f"and as many non-members of {subject}s, and there are {members} and {others}"
                )


def _compared(method: "MethodConfig", subject: str, dataset: "Dataset", design: "Holdout") -> tuple[int, int]:
    """Count the members and non-members of sharers or targets that the audit of a method compares, at most.

    Which sharers are merged, and so attacked, is known only once the base is adapted.
    """
    from prime_audit.config import TrainedSettings
    from prime_audit.personalize import stopping_of

    if subject == "sharer":
        flips = [flip for user in dataset.sharers for flip in design.audited_flips(user.id)]
        return sum(flips), len(flips) - sum(flips)
    stopping = stopping_of(method) if isinstance(method, TrainedSettings) else None
    kept = []
    for user in dataset.targets:
        flips = list(design.flips[user.id])
        unused = 0 if stopping is None else stopping.aside(sum(flips))
        kept += [flip for flip, one in zip(flips, design.compared(user, unused), strict=True) if one]
    return sum(kept), len(kept) - sum(kept)
