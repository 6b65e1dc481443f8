"""`prime-audit data`: fetch, convert, check and describe users, and score predictions about them."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.options import SharersOption
from prime_audit.cli.terminal import Terminal

if TYPE_CHECKING:
    from prime_audit.config import DataConfig
    from prime_audit.data import Dataset, Task

app = typer.Typer(
    help="Fetch LaMP, convert between layouts, check and describe users, score predictions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Layout(StrEnum):
    """How users are laid out in files."""

    users = "users"
    per_pcs = "per-pcs"
    lamp = "lamp"


class Split(StrEnum):
    """What separates LaMP's dev split from its train split."""

    user = "user"
    time = "time"


PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="A users.jsonl, or a folder in the layout of LaMP or Per-Pcs.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Task id or file; LaMP's and Per-Pcs's files name it themselves.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def fetch(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="For example lamp-3.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to fetch into.")],
    split: Annotated[
        Split,
        typer.Option("--split", help="By user (dev asks other people) or by time (dev asks later)."),
    ] = Split.user,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept LaMP's licence without being asked.")
    ] = False,
    host: Annotated[
        str | None, typer.Option("--host", metavar="URL", help="A mirror with the same folders.")
    ] = None,
) -> None:
    """Fetch a task of LaMP from its host; the same command continues a fetch that was stopped.

    No other command reaches for the network, but for models with model.offline: false.
    """
    from prime_audit.cli.progress import byte_progress
    from prime_audit.data import fetch as lamp_host

    terminal: Terminal = ctx.obj
    terminal.when_stopped = "what has arrived is kept, and the same command continues"
    # A wrong task is answered before anybody is asked for anything.
    lamp_host.wanted_files(task, split.value)
    _agree(terminal, accept_licence)
    with byte_progress(terminal.say, terminal.shows_bars) as received:
        lock = lamp_host.fetch(
            task,
            split.value,
            out,
            host=host or lamp_host.HOST,
            say=terminal.say,
            received=received,
        )
    terminal.say(f"sizes and checksums: {lock}")
    terminal.say(f"next: prime-audit data describe {out}")


@app.command()
def convert(
    ctx: typer.Context,
    path: PathArgument,
    to: Annotated[Layout, typer.Option("--to", help="Layout to write.")],
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    task: TaskOption = None,
    sharers: SharersOption = None,
) -> None:
    """Write users in another layout."""
    from prime_audit.data import OTHERS, write_dataset

    terminal: Terminal = ctx.obj
    dataset = _read(path, task, sharers)
    for written in write_dataset(dataset, to.value, out):
        terminal.say(f"written: {written}")
        if written.name == OTHERS:
            terminal.say(f"note: LaMP's layout has no place for sharers without answers: --sharers {written}")


@app.command()
def validate(
    path: PathArgument, task: TaskOption = None, sharers: SharersOption = None, as_json: JsonOption = False
) -> None:
    """Check every record; all faults are listed with their places."""
    from prime_audit.core import plural
    from prime_audit.data import check_dataset

    asked = _task(path, task)
    counts = check_dataset(_config(path, sharers), asked)
    if as_json:
        found = {"task": asked.id, "users": counts.users, "items": counts.items, "queries": counts.queries}
        typer.echo(json.dumps({**found, "notes": counts.notes}, indent=2))
        return
    roles = {"public": "public user"}
    users = [plural(count, roles.get(role, role)) for role, count in counts.users.items()]
    numbers = ", ".join([*users, plural(counts.items, "past item"), plural(counts.queries, "question")])
    typer.echo(f"{path} is valid: task {asked.id}, {numbers}")
    for note in counts.notes:
        typer.echo(f"note: {note}")


@app.command()
def describe(
    path: PathArgument, task: TaskOption = None, sharers: SharersOption = None, as_json: JsonOption = False
) -> None:
    """Describe users in numbers: how many, how long, which labels, what stands in several histories."""
    from prime_audit.cli.data_words import described_lines
    from prime_audit.data import describe as describe_dataset
    from prime_audit.data import detect_layout

    found = {"path": str(path), "layout": detect_layout(path), **describe_dataset(_read(path, task, sharers))}
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in described_lines(found):
        typer.echo(line)


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="In LaMP's submission format.")],
    golds: Annotated[Path, typer.Option("--golds", help="The answers: a LaMP or Per-Pcs file of golds.")],
    task: TaskOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The users, to score each target's queries as well.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score predictions as LaMP's own scorer does; they must match the answers one to one."""
    from prime_audit.cli.data_words import score_lines
    from prime_audit.data import load_task, task_of_golds
    from prime_audit.utility import score_file

    asked = load_task(task or task_of_golds(golds))
    dataset = _read(data, task or asked.id, None) if data is not None else None
    found = score_file(predictions, golds, asked, dataset)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in score_lines(found):
        typer.echo(line)


def _task(path: Path, task: str | None) -> "Task":
    from prime_audit.data import detect_task, load_task

    return load_task(task if task is not None else detect_task(path))


def _config(path: Path, sharers: Path | None) -> "DataConfig":
    from prime_audit.config import DataConfig

    return DataConfig(path=str(path), sharers_from=None if sharers is None else str(sharers))


def _read(path: Path, task: str | None, sharers: Path | None) -> "Dataset":
    from prime_audit.data import read_dataset

    return read_dataset(_config(path, sharers), _task(path, task))


def _agree(terminal: Terminal, accepted: bool) -> None:
    """Show LaMP's licence and have it accepted, once on this machine."""
    from prime_audit.data.fetch import LICENCE, LICENCE_TEXT, accept_licence, licence_accepted
    from prime_audit.errors import ConfigError

    if licence_accepted():
        return
    terminal.say(LICENCE_TEXT)
    if not accepted:
        if not terminal.can_ask:
            raise ConfigError(
                f"LaMP is licensed under {LICENCE}, which has not been accepted on this machine",
                hint="read it (https://creativecommons.org/licenses/by-nc-sa/4.0/) and add --accept-licence",
            )
        if not typer.confirm("Do you accept this licence?", err=True):
            raise ConfigError("the licence was not accepted; nothing was fetched")
    accept_licence()
