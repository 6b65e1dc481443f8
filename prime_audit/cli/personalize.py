"""`prime-audit personalize`: merge one's own adapters for one person."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prime_audit.cli.terminal import Terminal

if TYPE_CHECKING:
    from prime_audit.personalize import Deployed

_ITEMS = {
    "history": "the whole history ({} items, which the method has seen)",
    "selection": "the selection part ({} items)",
    "queries": "{} unseen queries",
}


def personalize(
    ctx: typer.Context,
    base: Annotated[str, typer.Option("--base", help="Base model: tiny, smollm2, a folder, or a hub id.")],
    adapters: Annotated[
        Path,
        typer.Option(
            "--adapters", help="Folder of PEFT adapters, one sub-folder per sharer; or a finished run."
        ),
    ],
    history: Annotated[
        Path,
        typer.Option(
            "--history", help="The person's items: a users.jsonl with one target, or one item a line."
        ),
    ],
    task: Annotated[str, typer.Option("--task", help="Task id, or path of a task file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it appears whole or not at all.")],
    method: Annotated[str, typer.Option("--method", help="Any merging method.")] = "prime",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Key of the method, such as budget=28, or of the model, such as model.device=cpu; repeat.",
        ),
    ] = None,
    adapt: Annotated[
        Path | None, typer.Option("--adapt", help="Adapter that is merged into the base first.")
    ] = None,
    sharers: Annotated[
        int, typer.Option("--sharers", min=1, help="How many adapters are merged at most.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the method.")] = 7,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="Cut the adapter to this rank by SVD.")
    ] = None,
    concatenate: Annotated[
        bool,
        typer.Option(
            "--concatenate", help="Write the sharers' factors side by side: publishes their modules."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier personalisation in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Merge your own adapters for one person and write a PEFT adapter.

    Beside the adapter stand a card (README.md) that names no sharer and no weight, and private.json, readable
    by you alone, that does. If the method falls back to the base, no adapter is written and the card says so.
    """
    from prime_audit.personalize import personalize as run

    terminal: Terminal = ctx.obj
    terminal.when_stopped = "nothing was written"
    done = run(
        base,
        adapters,
        history,
        task,
        out,
        method=method,
        overrides=overrides or (),
        adapt=adapt,
        sharers=sharers,
        seed=seed,
        rank=rank,
        concatenate=concatenate,
        force=force,
        progress=terminal.say,
    )
    if as_json:
        typer.echo(json.dumps(_outcome(done), indent=1, ensure_ascii=False))
    for line in _prose(done):
        terminal.say(line)


def _outcome(done: "Deployed") -> dict[str, object]:
    return {
        "out": str(done.out),
        "method": done.method,
        "reverted": done.reverted,
        "reason": done.reason,
        "adapter": done.adapter,
        "norm_ratio": done.norm_ratio,
        "utility": {part: asdict(found) for part, found in done.utility.items()},
    }


def _prose(done: "Deployed") -> list[str]:
    measured = [
        f"utility on {_ITEMS[part].format(found.items)}: {found.deployed:.4f} (base {found.base:.4f})"
        for part, found in done.utility.items()
    ]
    if done.reverted:
        return [
            f"{done.method} kept the base: {done.reason}",
            *measured,
            f"no adapter was written; the card is {done.out / 'README.md'}",
        ]
    return [*measured, f"norm ratio {done.norm_ratio:.3g}", f"written: {done.out}"]
