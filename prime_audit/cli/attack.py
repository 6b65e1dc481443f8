"""`prime-audit attack`: audit any model with two lists of records, plain scores, or an adapter and a pool."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from prime_audit.cli.terminal import Terminal


def attack(
    ctx: typer.Context,
    kind: Annotated[
        Literal["membership", "linkage"],
        typer.Option("--kind", help="What to find out: who was trained on, or whose modules are in it."),
    ] = "membership",
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores", help="CSV or JSON lines: id, member, and score or logp; user, text, base_logp."
        ),
    ] = None,
    direction: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option("--direction", help="Which score means a member; never guessed; not for logp."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Model: tiny, smollm2, a folder, or a hub id.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="PEFT adapter on it; without one the model is audited.")
    ] = None,
    members: Annotated[
        Path | None, typer.Option("--members", help="Records that were trained on, one JSON object a line.")
    ] = None,
    nonmembers: Annotated[
        Path | None, typer.Option("--nonmembers", help="Records that were not trained on.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="What scores are calibrated with: base (the model without the adapter), none, or a model.  "
            "[default: base with --adapter, else none]",
        ),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option("--public", help="Records nobody trained on, in neither list: opens more attacks."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=8, help="Longest sequence to feed, in tokens.")
    ] = None,
    quantize: Annotated[
        Literal["4bit"] | None,
        typer.Option("--quantize", help="How the model is deployed: 4bit (extra gpu).  [default: in full]"),
    ] = None,
    randomised: Annotated[
        bool,
        typer.Option(
            "--randomised",
            help="A fair coin drew the membership of each record; only then a leak can be stated.",
        ),
    ] = False,
    pool: Annotated[
        Path | None,
        typer.Option(
            "--pool", help="Linkage: candidate adapters, one per sub-folder named after its sharer."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of folds and permutations.")] = 7,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory.  [default: reports/attack]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json on stdout.")] = False,
) -> None:
    """Attack any model with two lists of records, plain scores, or an adapter with a pool of modules.

    Give --scores FILE (a score with --direction), or --base MODEL [--adapter DIR] with --members FILE and
    --nonmembers FILE. A record is {"id", "user"?, "prompt"?, "text"}; only text is scored. Scores need
    neither a model nor torch. --kind linkage --adapter DIR --pool DIR says whose modules are in a merged
    adapter; it needs no base model. An earlier attack in the run directory is replaced.
    """
    from prime_audit.bring import DEFAULT_OUT
    from prime_audit.bring import attack as run
    from prime_audit.cli.outputs import write_outputs
    from prime_audit.report import render_console

    terminal: Terminal = ctx.obj
    terminal.when_stopped = "nothing was kept"
    run_dir = DEFAULT_OUT if out is None else out
    results = run(
        kind=kind,
        scores=scores,
        direction=direction,
        base=base,
        adapter=adapter,
        members=members,
        nonmembers=nonmembers,
        reference=reference,
        public=public,
        max_tokens=max_tokens,
        quantize=quantize,
        randomised=randomised,
        pool=pool,
        seed=seed,
        out=run_dir,
        progress=terminal.say,
    )
    write_outputs(run_dir, results, None)
    for line in render_console(results, None, run_dir):
        terminal.say(line)
    if as_json:
        typer.echo((run_dir / "results.json").read_text(encoding="utf-8"), nl=False)
