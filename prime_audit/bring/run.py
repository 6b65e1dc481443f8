"""One audit of what somebody brings, from the options to the run directory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from prime_audit.bring.outcome import Brought, results_of
from prime_audit.bring.request import ModelRequest
from prime_audit.bring.run_directory import DEFAULT_OUT, check_out, now, write_run
from prime_audit.bring.scores_run import bring_scores
from prime_audit.core import plural
from prime_audit.errors import ConfigError
from prime_audit.results import Results

DIRECTIONS: Final = ("higher", "lower")
KINDS: Final = ("membership", "linkage")
_MODES: Final = (
    "give --scores FILE, or --base MODEL with --members FILE and --nonmembers FILE; "
    "or --kind linkage with --adapter DIR and --pool DIR"
)


def attack(
    *,
    kind: Literal["membership", "linkage"] = "membership",
    scores: str | Path | None = None,
    direction: Literal["higher", "lower"] | None = None,
    base: str | None = None,
    adapter: str | Path | None = None,
    members: str | Path | None = None,
    nonmembers: str | Path | None = None,
    reference: str | None = None,
    public: str | Path | None = None,
    max_tokens: int | None = None,
    quantize: Literal["4bit"] | None = None,
    randomised: bool = False,
    pool: str | Path | None = None,
    seed: int = 7,
    out: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Results:
    """Attacks a model, or scores that were made elsewhere, with two lists of records; or links an adapter.

    Either `scores`, or `base` with `members` and `nonmembers`. Scores need neither torch nor transformers.
    The kind `linkage` takes `adapter` and `pool` alone and says whose modules are in the adapter.

    Args:
        kind: `membership` of records, or `linkage` of an adapter with the modules that may be in it.
        scores: CSV or JSON lines of `id`, `member`, and `score` or `logp` (log-probabilities per token);
            `user`, `base_logp`, `text` and `date` where known.
        direction: Whether a higher or a lower `score` means a member; never guessed.
        base: The model: `tiny`, `smollm2`, a folder, or a hub id.
        adapter: A PEFT adapter on it; without one the model itself is audited.
        members: Records that it was trained on: `{"id", "user"?, "prompt"?, "text"}` a line.
        nonmembers: Records that it was not trained on.
        reference: `base` (the model without the adapter), `none`, or another model with the same tokenizer;
            by default `base` with an adapter and `none` without.
        public: Records that nobody trained on and that are in neither list, for attacks that need some.
        max_tokens: Longest sequence to feed, in tokens; the model's context by default.
        quantize: `4bit` where the model is deployed in 4 bits (extra `gpu`); in full by default.
        randomised: Whether a fair coin drew the membership of each record. Only then a leak can be stated.
        pool: Candidate PEFT adapters, one per sub-folder, for `linkage`; or the run directory of a study.
        seed: Seed of the blind control's folds and of the permutations.
        out: The run directory; `reports/attack` by default. An earlier attack there is replaced.
        progress: Told in one line of each step; silent by default.

    Returns:
        The results; they are also written to the run directory.

    Raises:
        PrimeAuditError: An option, a file or a model cannot be used; then nothing is written.
    """
    started, say = now(), progress or _silent
    directory = DEFAULT_OUT if out is None else Path(out)
    check_out(directory)
    model: dict[str, object] = {
        "--base": base,
        "--adapter": adapter,
        "--members": members,
        "--nonmembers": nonmembers,
        "--reference": reference,
        "--public": public,
        "--max-tokens": max_tokens,
        "--quantize": quantize,
    }
    named = [option for option, value in model.items() if value is not None]
    if kind == "linkage":
        others = {**model, "--scores": scores, "--direction": direction, "--randomised": randomised or None}
        foreign = [option for option, value in others.items() if value is not None and option != "--adapter"]
        # Imported here, like what follows, because it brings in torch.
        from prime_audit.bring.linkage_run import attack_linkage

        return attack_linkage(adapter, pool, foreign, seed=seed, out=directory, started=started, say=say)
    _check_membership(kind, pool)
    if scores is not None:
        _check_scores(direction, named)
        brought = bring_scores(Path(scores), direction)
    else:
        _check_model(direction, named)
        # Imported here because it brings in torch, which scores do not need.
        from prime_audit.bring.model_run import bring_model

        brought = bring_model(
            ModelRequest(
                base=str(base),
                members=Path(str(members)),
                nonmembers=Path(str(nonmembers)),
                adapter=None if adapter is None else Path(adapter),
                reference=reference,
                public=None if public is None else Path(public),
                max_tokens=max_tokens,
                quantize=quantize,
            )
        )
    _tell(brought, say)
    return write_run(directory, results_of(brought, randomised=randomised, seed=seed), brought, started)


def _check_membership(kind: object, pool: object) -> None:
    if kind not in KINDS:
        raise ConfigError(f"kind is '{kind}'", hint=f"use {' or '.join(KINDS)}")
    if pool is not None:
        raise ConfigError("--pool belongs to --kind linkage", hint=_MODES)


def _check_scores(direction: object, named: Sequence[str]) -> None:
    if direction is not None and direction not in DIRECTIONS:
        raise ConfigError(f"direction is '{direction}'", hint=f"use {' or '.join(DIRECTIONS)}")
    if named:
        raise ConfigError(f"--scores needs no model: {', '.join(named)} cannot be used with it", hint=_MODES)


def _check_model(direction: object, named: Sequence[str]) -> None:
    if direction is not None:
        raise ConfigError("--direction is about a file of scores, and there is no --scores", hint=_MODES)
    lacking = [option for option in ("--base", "--members", "--nonmembers") if option not in named]
    if lacking:
        what = f"{' and '.join(lacking)} missing" if named else "nothing to attack was named"
        raise ConfigError(what, hint=_MODES)


def _tell(brought: Brought, say: Callable[[str], None]) -> None:
    listed = brought.listed
    members = int(listed.member.sum())
    counts = f"{plural(members, 'member')} and {plural(len(listed.ids) - members, 'non-member')}"
    say(f"{brought.label}: {counts}, {plural(len({name for _, name in brought.methods}), 'attack')}")
    for note in brought.notes:
        say(f"note: {note}")


def _silent(text: str) -> None: ...
