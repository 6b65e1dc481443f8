"""Personalising outside of a study: from a base, adapters and one history to a PEFT adapter with a card.

The sharers' histories are not at hand here, so sharers cannot be chosen by how alike they write. They are
ranked by how well each module alone answers the target's history, and that figure is what a method is given
as their similarity.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from prime_audit.config import LoraHubMethod, MethodSettings, ModelConfig, PrimeMethod, load_method
from prime_audit.core import Seeds, default_store
from prime_audit.data import Item, Task, load_task, read_history
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import LanguageModel, load_model
from prime_audit.modules import AdapterBank, LoraModule, merged_into, read_module
from prime_audit.personalize.adapters import (
    Adapters,
    check_precision,
    declared_base,
    find_adapters,
    read_adapters,
)
from prime_audit.personalize.answers import utilities
from prime_audit.personalize.built_in import METHODS
from prime_audit.personalize.contract import carry_out
from prime_audit.personalize.form import check_form, in_form
from prime_audit.personalize.output import check_out, write_output
from prime_audit.personalize.prime import split_history
from prime_audit.personalize.record import Deployed, Measured, Record
from prime_audit.personalize.search import check_budget
from prime_audit.personalize.starts import most_starts
from prime_audit.personalize.types import Method, Personalisation, TargetContext, predict_with
from prime_audit.utility import score

_FEW: Final = 8  # items below which a ranking of adapters is mostly chance
_LONGEST_SEARCHED: Final = 2000  # items; a split that needs more than this is a slip of the settings


def personalize(
    base: str,
    adapters: str | Path,
    history: str | Path,
    task: str | Path,
    out: str | Path,
    *,
    method: str | Mapping[str, object] = "prime",
    overrides: Sequence[str] = (),
    adapt: str | Path | None = None,
    sharers: int = 3,
    seed: int = 7,
    rank: int | None = None,
    concatenate: bool = False,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Deployed:
    """Merges other people's adapters for one person and writes the result as a PEFT adapter.

    Args:
        base: The base model: `tiny`, `smollm2`, a folder, or a hub id.
        adapters: A folder with one PEFT adapter per sub-folder, named after the sharer; or the directory of
            a finished run, whose sharers' modules and adaptation are taken from the store.
        history: The person's history: a users.jsonl with one target, or one item per line.
        task: A task id, or the path of a task file.
        out: The folder to write; it appears whole or not at all.
        method: A merging method by its kind, or a section as in a study, with the key `kind`.
        overrides: Settings as text, such as `budget=28`, or `model.device=cpu` for the model.
        adapt: An adapter that is merged into the base first, if the sharers' adapters sit on such a base.
        sharers: How many adapters are merged at most; the best ones alone on the history.
        seed: Seed of the method.
        rank: Cut the adapter to this rank by SVD; its card says what that loses.
        concatenate: Write the sharers' own factors side by side. **This publishes their modules.**
        force: Replace what an earlier call wrote to `out`.
        progress: Told in one line of each step; silent by default.

    Returns:
        What was deployed. If the method fell back to the base, no adapter is written.

    Raises:
        PrimeAuditError: The settings, the base, an adapter, the history or `out` cannot be used.
    """
    say = progress if progress is not None else _silent
    model, settings = load_method(base, method, overrides)
    kind = usable_method(settings)
    if sharers < 1:
        raise ConfigError(f"sharers is {sharers}: at least one adapter is merged")
    check_form(rank, concatenate)
    check_out(Path(out), Path(adapters), force)
    found = find_adapters(Path(adapters))
    check_search(settings, min(sharers, len(found.folders)))
    asked = load_task(task)
    target = read_history(Path(history), asked)
    if adapt is None and found.adaptation is not None:
        say("the base is adapted to the task as it was in that run")
        adapt = found.adaptation
    pretrained, lm, adaptation = _load_base(model, adapt)
    check_precision(found, pretrained)
    modules = read_adapters(found, lm)
    say(f"{len(modules)} adapters and {len(target.history)} history items on {pretrained.name}")
    _note_other_base(found, pretrained.name, say)
    context = TargetContext(asked, target, lm, Seeds(seed), module=modules.__getitem__)
    check_history(context, settings, Path(history))
    base_alone, alone = utility_alone(lm, asked.past, target.history, modules)
    context = _with_best(context, alone, sharers)
    name = kind.label if settings.id == settings.kind else f"{kind.label} ({settings.id})"
    say(f"{name}: merging {len(context.sharers)} of them, those that answer the history best alone")
    if len(target.history) < _FEW:
        say(f"note: {len(target.history)} items say little about which adapters are best")
    deployed, form = in_form(carry_out(kind, context, settings), modules, rank, concatenate)
    record = Record(
        base=_shown(pretrained.name),
        base_digest=pretrained.digest,
        adaptation=adaptation,
        context=context,
        kind=kind,
        settings=settings,
        seed=seed,
        modules=modules,
        alone=alone,
        deployed=deployed,
        form=form,
        utility=_measure(context, settings, deployed, base_alone),
    )
    return write_output(record, Path(out))


def usable_method(settings: MethodSettings) -> Method:
    """Returns the method of some settings if adapters, a base and a history are all that it needs.

    Args:
        settings: The settings.

    Returns:
        The method.

    Raises:
        ConfigError: It merges nothing, or needs what only a study can give it.
    """
    kind = METHODS[settings.kind]
    reason = _why_not(kind)
    if reason:
        usable = ", ".join(name for name, other in METHODS.items() if not _why_not(other))
        raise ConfigError(
            f"method '{settings.kind}' cannot be used here: {reason}",
            hint=f"these can: {usable}; `prime-audit evaluate` runs every method",
        )
    if isinstance(settings, PrimeMethod) and settings.privacy == "membership-gap":
        raise ConfigError(
            "the privacy term 'membership-gap' needs records of the sharers; here are only their adapters",
            hint="use another one, such as --set privacy=similarity; `prime-audit evaluate` has the records",
        )
    return kind


def _why_not(kind: Method) -> str:
    if kind.needs_own_module:
        return "it trains a module on the person's own history and merges nobody's"
    if kind.needs_gates:
        return "it needs gates that are trained beside each sharer's module on that sharer's history"
    if "of" in kind.settings.model_fields:
        return "it is a control, built from what another method deployed"
    return "" if kind.family == "merging" else "it merges no adapters"


def check_search(settings: MethodSettings, sharers: int) -> None:
    """Refuses a budget that holds no generation, before anything is loaded.

    Args:
        settings: The method's settings.
        sharers: How many adapters are merged.

    Raises:
        ConfigError: The budget is too small; the text says what would do.
    """
    if isinstance(settings, PrimeMethod):
        starts = most_starts(settings.starts, sharers)
        check_budget(settings.optimiser, settings.budget, settings.population, sharers, starts)
    elif isinstance(settings, LoraHubMethod):
        check_budget(settings.optimiser, settings.budget, None, sharers)


def check_history(context: TargetContext, settings: MethodSettings, path: Path) -> None:
    """Refuses a history that is too short to be split into a search and a selection part.

    Args:
        context: The target's context.
        settings: The method's settings; only PriME splits, and not where it takes the recommendation.
        path: The history file, for the message.

    Raises:
        DataError: It has too few items; the needed number is named.
        ConfigError: The settings' own cap of items leaves too few, however long the history.
    """
    if not isinstance(settings, PrimeMethod) or settings.choice != "best":
        return
    if split_history(context, settings)[1]:
        return
    count = len(context.target.history)
    for needed in range(count + 1, _LONGEST_SEARCHED):
        longer = replace(context.target, history=(Item("x", "x", "x"),) * needed)
        if split_history(replace(context, target=longer), settings)[1]:
            raise DataError(
                f"{path}: holds {count} items, and the split into a search and a selection part needs "
                f"{needed}",
                hint="give a longer history, another --set selection_fraction=..., or a method without a "
                "search, such as uniform",
            )
    raise ConfigError(
        f"selection_fraction {settings.selection_fraction} and max_items {settings.max_items} leave no "
        "search and selection part, however long the history is",
        hint="raise max_items, or move selection_fraction towards one half",
    )


def utility_alone(
    lm: LanguageModel, task: Task, items: Sequence[Item], modules: Mapping[str, LoraModule]
) -> tuple[float, dict[str, float]]:
    """Measures the base and each module alone on a history, in one batch of rows.

    Args:
        lm: The base.
        task: The task.
        items: The items; each has an answer.
        modules: The modules by sharer.

    Returns:
        The base's utility, and that of each module with weight one; in [0, 1].
    """
    candidates = np.vstack([np.zeros(len(modules)), np.eye(len(modules))])
    base, *each = utilities(lm, task, items, AdapterBank(tuple(modules.values())), candidates)
    return base, dict(zip(modules, each, strict=True))


def _with_best(context: TargetContext, alone: Mapping[str, float], count: int) -> TargetContext:
    """The context with the sharers that answer the history best alone; equal ones by name."""
    ranked = sorted(alone, key=lambda name: (-alone[name], name))[:count]
    return replace(context, sharers=tuple(ranked), similarity={name: alone[name] for name in ranked})


def _measure(
    context: TargetContext, settings: MethodSettings, deployed: Personalisation, base_alone: float
) -> dict[str, Measured]:
    """Utility before and after, on each part of the history that can be told apart."""

    def after(items: Sequence[Item], task: Task) -> float:
        own_form = task is not context.task
        prompts = [task.prompt(item.input) if own_form else deployed.prompt(item) for item in items]
        outputs = predict_with(context.base, task, prompts, deployed.adapter)
        return score(task, outputs, _golds(items)).primary

    target = context.target
    found = {"history": Measured(len(target.history), base_alone, after(target.history, context.task.past))}
    selection = _selection(settings, deployed)
    if selection is not None:
        found["selection"] = selection
    queries = [query for query in target.queries if query.answer is not None]
    if queries:
        before, _ = utility_alone(
            context.base, context.task, queries, {context.sharers[0]: context.modules()[0]}
        )
        found["queries"] = Measured(len(queries), before, after(queries, context.task))
    return found


def _selection(settings: MethodSettings, deployed: Personalisation) -> Measured | None:
    """What the method itself measured on its selection part, where that is the task's utility."""
    if not isinstance(settings, PrimeMethod) or settings.utility != "metric" or settings.sampling is not None:
        return None
    points = [point for point in deployed.points if point.part == "selection"]
    base = next((point for point in points if not any(point.weights)), None)
    chosen = base if deployed.chosen is None else deployed.points[deployed.chosen]
    if base is None or chosen is None or chosen.part != "selection":
        return None
    return Measured(chosen.items, base.utility, chosen.utility)


def _load_base(
    config: ModelConfig, adapt: str | Path | None
) -> tuple[LanguageModel, LanguageModel, LoraModule | None]:
    """Returns the model as it came, the base that the adapters sit on, and what lies between."""
    pretrained = load_model(config, default_store())
    if adapt is None:
        return pretrained, pretrained, None
    adaptation = read_module(Path(adapt), pretrained)
    return pretrained, merged_into(pretrained, adaptation), adaptation


def _note_other_base(found: Adapters, base: str, say: Callable[[str], None]) -> None:
    """The shapes fit; only a person can tell whether two names are one model."""
    declared = next(filter(None, map(declared_base, found.folders.values())), "")
    if declared and declared.casefold() != _shown(base).rpartition("/")[2].casefold():
        say(f"note: the adapters say that they are for '{declared}'; make sure that this is '{_shown(base)}'")


def _shown(base: str) -> str:
    """A base as the card names it: a folder without the way to it, which is nobody's business."""
    return Path(base).expanduser().resolve().name if Path(base).expanduser().is_dir() else base


def _golds(items: Sequence[Item]) -> list[str]:
    return [item.answer or "" for item in items]


def _silent(text: str) -> None: ...
