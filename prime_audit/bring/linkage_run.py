"""Linkage of an adapter with a pool of modules: read, compared, told and written. No base model is needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from attacks import Linkage, link
from attacks.gram_fit import RIDGE
from prime_audit.audit.linkage import LINKAGE, as_change, linkage_info, linkage_metrics
from prime_audit.bring.run_directory import write_facts
from prime_audit.core import digest_json
from prime_audit.errors import ConfigError, ModelError
from prime_audit.modules import LoraModule, read_module
from prime_audit.personalize.adapters import declared_base, find_adapters, read_each
from prime_audit.results import Coverage, Method, Results, Study

ADAPTER: Final = "adapter"
POOL: Final = "pool"
_MODE: Final = "give --adapter DIR and --pool DIR, a folder with one candidate adapter per sub-folder"
_SHOWN: Final = 5
# How many candidates are in memory at a time; a layer of the others is read when it is compared.
_IN_MEMORY: Final = 16
_PACKAGES: Final = ("torch", "safetensors", "numpy", "scipy")


@dataclass(frozen=True)
class Pool:
    """An adapter and the modules that may be in it.

    Attributes:
        label: The adapter folder's name.
        adapter: The adapter.
        candidates: Modules by sharer, sorted by name.
        notes: What the user should read.
    """

    label: str
    adapter: LoraModule
    candidates: Mapping[str, LoraModule]
    notes: tuple[str, ...]


def attack_linkage(
    adapter: str | Path | None,
    pool: str | Path | None,
    named: Sequence[str],
    *,
    seed: int,
    out: Path,
    started: str,
    say: Callable[[str], None],
) -> Results:
    """Says whose modules are in an adapter, and writes the run.

    Args:
        adapter: A PEFT LoRA adapter.
        pool: A folder with one candidate adapter per sub-folder, named after its sharer; or a study's run.
        named: Other options that were given; there may be none.
        seed: Noted in the results; nothing is drawn.
        out: The run directory.
        started: When the command started.
        say: Told in one line of each step.

    Returns:
        The results as they read back.

    Raises:
        ConfigError: An option is missing or does not belong here.
        DataError: The pool is missing or empty.
        ModelError: An adapter cannot be read or compared.
    """
    if named:
        raise ConfigError(f"--kind linkage compares files: {', '.join(named)} cannot be used", hint=_MODE)
    if adapter is None or pool is None:
        lacking = [o for o, value in (("--adapter", adapter), ("--pool", pool)) if value is None]
        raise ConfigError(f"{' and '.join(lacking)} missing", hint=_MODE)
    found = read_pool(Path(adapter), Path(pool))
    linked = compare(found)
    who = [name for name, sharer in linked.sharers.items() if sharer.named]
    say(f"{found.label}: {len(found.candidates)} candidates, {len(who)} named; space {linked.space}")
    notes = [*found.notes, *_dependent(linked)]
    for note in notes:
        say(f"note: {note}")
    facts = {
        "study": {"name": "attack", **_settings(found)},
        "design": {"name": POOL, "candidates": len(found.candidates)},
        "notes": notes,
    }
    return write_facts(out, linkage_results(found, linked, seed), facts, _PACKAGES, started)


def read_pool(adapter: Path, pool: Path) -> Pool:
    """Reads an adapter and the candidates.

    Args:
        adapter: The adapter's folder.
        pool: The folder of candidates, or the run directory of a study.

    Returns:
        Both; every candidate changes some of the adapter's layers, in the same shapes.

    Raises:
        DataError: The pool is missing or empty.
        ModelError: An adapter cannot be read, fits another base, changes nothing, or is the adapter itself.
    """
    module = read_module(adapter)
    places = find_adapters(pool)
    candidates = read_each(places, None, in_memory=_IN_MEMORY)
    _check_changes("the adapter", adapter, module)
    for name, candidate in candidates.items():
        folder = places.folders[name]
        if folder.resolve() == adapter.resolve() or candidate.digest == module.digest:
            raise ModelError(
                f"pool {pool}: '{name}' is the adapter itself: the same file or the same factors",
                hint="take it out of the pool; a module that was deployed unmerged is that file itself",
            )
        _check_changes(f"'{name}'", folder, candidate)
        _check_fit(adapter, module, name, candidate)
    bases = {name: base for name, path in places.folders.items() if (base := declared_base(path))}
    own = declared_base(adapter)
    odd = sorted(name for name, base in bases.items() if own and base.casefold() != own.casefold())
    return Pool(adapter.resolve().name, module, candidates, _notes(own, odd, bases))


def _notes(own: str, odd: Sequence[str], bases: Mapping[str, str]) -> tuple[str, ...]:
    if not odd:
        return ()
    return (
        f"the adapter says that its base is '{own}', {len(odd)} of the candidates name another one, such as "
        f"'{odd[0]}' with '{bases[odd[0]]}': of two bases with equal shapes only one can be right",
    )


def _dependent(linked: Linkage) -> tuple[str, ...]:
    if linked.condition <= 1 / RIDGE:
        return ()
    return (
        f"some candidates are nearly sums of others (condition number {linked.condition:.1g}): which of them "
        "is in the adapter cannot be told, so none of those is named",
    )


def _check_changes(what: str, folder: Path, module: LoraModule) -> None:
    if module.norm() == 0:
        raise ModelError(
            f"module {folder}: {what} changes nothing: B or A or the scaling is zero in every layer",
            hint="it was saved before it was trained; take it out",
        )


def _check_fit(adapter: Path, module: LoraModule, name: str, candidate: LoraModule) -> None:
    common = [layer for layer in module.factors if layer in candidate.factors]
    hint = "linkage compares adapters of one base model; take it out of the pool"
    if not common:
        layer, other = next(iter(module.factors)), next(iter(candidate.factors))
        raise ModelError(
            f"'{name}' changes none of the layers of {adapter}: {other} in one and {layer} in the other",
            hint=hint,
        )
    for layer in common:
        ours, theirs = (
            (m.factors[layer][1].shape[0], m.factors[layer][0].shape[1]) for m in (module, candidate)
        )
        if ours != theirs:
            raise ModelError(
                f"'{name}' is for another base than {adapter}: layer {layer} is {theirs[0]} x {theirs[1]} in "
                f"one and {ours[0]} x {ours[1]} in the other",
                hint=hint,
            )


def compare(found: Pool) -> Linkage:
    """Runs the attack of `attacks.linkage` on modules.

    Args:
        found: The adapter and the candidates.

    Returns:
        What was found.
    """
    return link(as_change(found.adapter), {name: as_change(m) for name, m in found.candidates.items()})


def linkage_results(found: Pool, linked: Linkage, seed: int) -> Results:
    """Tells what was found as results.

    Args:
        found: The adapter and the candidates.
        linked: What was found about them.
        seed: Noted in the results.

    Returns:
        The results; equal for equal input.
    """
    settings = _settings(found)
    run = (ADAPTER, f"{ADAPTER}/{LINKAGE}")
    return Results(
        status="complete",
        study=Study(
            name="attack",
            kind="attack",
            task="",
            seed=seed,
            design=POOL,
            config_digest=digest_json(settings),
            primary=LINKAGE,
        ),
        methods=(Method(id=ADAPTER, kind="brought", family="audited", label=found.label, params=settings),),
        attacks=(linkage_info(linked),),
        metrics=tuple(linkage_metrics(ADAPTER, linked)),
        coverage=Coverage(requested=run, run=run),
    )


def _settings(found: Pool) -> dict[str, JsonValue]:
    return {
        "adapter": found.adapter.digest,
        "pool": {name: module.digest for name, module in found.candidates.items()},
    }
