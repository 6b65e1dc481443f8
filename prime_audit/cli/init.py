"""`prime-audit init`: write a commented study file to start from."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from prime_audit.cli.terminal import Terminal


def init(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The study file to write.")] = Path(
        "study.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented study file that runs as it is."""
    from prime_audit.core import atomic_write_text
    from prime_audit.errors import OutputError

    terminal: Terminal = ctx.obj
    if path.exists() and not force:
        raise OutputError(f"{path}: there is a file already", hint="choose another name, or use --force")
    template = files("prime_audit.cli").joinpath("study.template.yaml").read_text(encoding="utf-8")
    atomic_write_text(path, template)
    terminal.say(f"written: {path}")
    terminal.say(f"next: prime-audit validate {path} --plan")
