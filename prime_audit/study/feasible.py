"""What a study asks for, checked against its data before any compute."""

from prime_audit.config import LoraHubMethod, PrimeMethod, StudyConfig
from prime_audit.config.explain import nearest
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import check_quantization
from prime_audit.modules import promised
from prime_audit.personalize import METHODS, check_budget, most_starts, selection_size
from prime_audit.study.feasible_audit import check_audit
from prime_audit.study.feasible_prompts import check_prompts
from prime_audit.study.predictions import check_samples
from prime_audit.study.premise import searching_methods
from prime_audit.study.remaking import named_by
from prime_audit.study.workbench import Workbench

# With fewer records of a sharer there is no member to compare with a non-member.
LEAST_AUDITED = 2


def check_feasible(bench: Workbench) -> None:
    """Refuses a study whose data cannot give what it asks for, before any compute.

    Args:
        bench: The workbench.

    Raises:
        ConfigError: Named by the setting that cannot be met.
        DataError: Named by the users whose coin flips leave nothing to train on.
    """
    config, dataset = bench.config, bench.dataset
    if config.model.quantize is not None:
        check_quantization(config.model.device)
    _check_controls(config)
    check_samples(bench)
    if not dataset.targets:
        raise ConfigError("the data hold no target", hint="give at least one user the role 'target'")
    merging = [method for method in config.methods if METHODS[method.kind].subject == "sharer"]
    if any("sharer" in METHODS[method.kind].about for method in config.methods):
        _check_merging(bench)
    check_sharers(bench)
    empty = [user for user, flips in bench.holdout.flips.items() if not any(flips)]
    if empty:
        raise DataError(
            f"the coin flips leave no record to train on for: {', '.join(empty[:10])}",
            hint="these histories are too short for a hold-out design: leave the users out, or add records",
        )
    _check_trained(config)
    check_prompts(bench)
    _check_searches(bench)
    check_audit(bench, [m for m in merging if named_by(m) is None])


def _check_merging(bench: Workbench) -> None:
    """Refuses a study without sharers enough for its targets and its controls."""
    config, dataset = bench.config, bench.dataset
    wanted, there = config.sharers.per_target, len(dataset.sharers)
    if not there:
        using = [m for m in config.methods if "sharer" in METHODS[m.kind].about]
        merging = [m.id for m in using if METHODS[m.kind].subject == "sharer"]
        names = ", ".join(merging or [m.id for m in using])
        what = "merge sharers' modules" if merging else "train on sharers' records"
        raise ConfigError(
            f"methods {names} {what}, and the data hold no sharer",
            hint="put LaMP's train split beside its dev split, or name users who share with --sharers "
            "(data.sharers_from); or leave these methods out",
        )
    if there < wanted:
        raise ConfigError(
            f"sharers.per_target is {wanted}, but the data hold {there} sharers",
            hint="lower sharers.per_target or add sharers",
        )
    pool = config.sharers.representatives or there
    if "placebo" in config.audit.run_controls and pool == wanted:
        raise ConfigError(
            "audit.controls: the placebo merges sharers that a target did not select, and none is left",
            hint="lower sharers.per_target, add sharers, or leave out the placebo",
        )
    if "without-sharer" in config.audit.run_controls and wanted < 2:
        raise ConfigError(
            "audit.controls: without-sharer merges the other sharers of a target, and there are none",
            hint="raise sharers.per_target to at least 2, or leave the control out",
        )
    _check_privacy(bench)


def _check_privacy(bench: Workbench) -> None:
    """Refuses a promise of privacy that cannot be kept, and what would undo it."""
    config, sharers = bench.config, bench.dataset.sharers
    privacy = config.sharers.privacy
    if privacy is None:
        return
    # A small history limits what can be promised, a large one which delta may be.
    # Beside each module stands one that was trained on planted secrets as well.
    sizes = [len(bench.holdout.members(sharer)) for sharer in sharers]
    if config.audit.canaries is not None:
        sizes += [
            len(bench.holdout.members(sharer)) + len(bench.canaries.items(sharer.id)) for sharer in sharers
        ]
    for size in {min(sizes): None, max(sizes): None}:
        promised(privacy, config.training, size)
    measuring = [m.id for m in config.methods if getattr(m, "privacy", None) == "membership-gap"]
    if measuring:
        raise ConfigError(
            f"method {measuring[0]}: 'privacy: membership-gap' reads the sharers' records without "
            "privacy, which would undo sharers.privacy",
            hint="use another privacy term, or leave out sharers.privacy",
        )


def _check_trained(config: StudyConfig) -> None:
    """Refuses what would train on records in a way that the rest of the study rules out."""
    # Gates are kept by sharer: two methods with other settings would need two of them.
    gated = [method.id for method in config.methods if METHODS[method.kind].needs_gates]
    if len(gated) > 1:
        raise ConfigError(
            f"methods {', '.join(gated)} would each train gates of every sharer",
            hint="keep one of them in a study",
        )
    pooling = [m for m in config.methods if METHODS[m.kind].pools]
    if gated and config.sharers.privacy is not None:
        raise ConfigError(
            f"method {gated[0]} trains gates on the sharers' records without privacy, which would undo "
            "sharers.privacy",
            hint="leave out the method or sharers.privacy",
        )
    if pooling and config.sharers.privacy is not None:
        raise ConfigError(
            f"method {pooling[0].id} trains on the sharers' records without privacy, which would undo "
            "sharers.privacy",
            hint="leave out the method or sharers.privacy",
        )
    merging = any(METHODS[method.kind].subject == "sharer" for method in config.methods)
    if pooling and not merging and "without-sharer" in config.audit.run_controls:
        raise ConfigError(
            f"audit.controls: without-sharer makes a merge again, and method {pooling[0].id} merges nobody's "
            "module",
            hint="add a merging method, or leave the control out",
        )
    everyone = [method.id for method in pooling if getattr(method, "pool", None) == "all"]
    if everyone and config.audit.design == "prime-paper":
        raise ConfigError(
            f"method {everyone[0]} trains on every sharer, and the design prime-paper needs sharers whose "
            "records are in nothing",
            hint="set 'pool: selected', or use the design holdout",
        )


def _check_searches(bench: Workbench) -> None:
    """Refuses a search whose budget holds no generation, or whose history cannot be split."""
    config, sharers = bench.config, bench.config.sharers.per_target
    for method in config.methods:
        if isinstance(method, PrimeMethod):
            _check_budget(method, sharers, most_starts(method.starts, sharers))
            _check_split(bench, method)
        elif isinstance(method, LoraHubMethod):
            _check_budget(method, sharers, 0)
    if config.audit.premise is not None and not searching_methods(config):
        raise ConfigError(
            "audit.premise attacks merges that a search has evaluated, and no method is of the kind prime "
            "with a privacy term about outputs",
            hint="add a prime method, or leave out audit.premise",
        )


def _check_budget(method: PrimeMethod | LoraHubMethod, sharers: int, starts: int) -> None:
    # With a weight per layer there are more dimensions, so more is needed; the search itself checks that.
    population = method.population if isinstance(method, PrimeMethod) else None
    try:
        check_budget(method.optimiser, method.budget, population, sharers, starts)
    except ConfigError as error:
        raise ConfigError(f"method {method.id}: {error}", hint=error.hint) from error


def _check_split(bench: Workbench, method: PrimeMethod) -> None:
    """Refuses a split that no target's history allows; a single short history falls back, and says so."""
    if method.choice != "best":
        return
    sizes = [len(bench.holdout.members(target)) for target in bench.dataset.targets]
    longest = min(max(sizes), method.max_items or max(sizes))
    if selection_size(longest, method.selection_fraction) == 0:
        raise ConfigError(
            f"method {method.id}: selection_fraction {method.selection_fraction} of {longest} items leaves "
            "no search and selection part for any target",
            hint="move selection_fraction towards one half, raise max_items, or give longer histories",
        )


def _check_controls(config: StudyConfig) -> None:
    """Refuses a control whose ``of`` names nothing that it could be built from."""
    ids = [method.id for method in config.methods]
    controls = [method for method in config.methods if named_by(method) is not None]
    valid = [m.id for m in config.methods if METHODS[m.kind].subject == "sharer" and m not in controls]
    for method in controls:
        of = named_by(method) or ""
        if of in valid:
            continue
        why = "does not merge sharers' modules" if of in ids else "is no method of this study"
        if of in [control.id for control in controls]:
            why = "is a control itself"
        meant = nearest(of, valid)
        hint = f"set 'of' to one of: {', '.join(valid)}" if valid else "add a method that merges sharers"
        raise ConfigError(
            f"methods: the control '{method.id}' is of '{of}', which {why}",
            hint=f"did you mean '{meant}'?" if meant else hint,
        )


def check_sharers(bench: Workbench) -> None:
    """Refuses settings of the section ``sharers`` that the data cannot meet.

    Args:
        bench: The workbench.

    Raises:
        ConfigError: Named by the setting.
        DataError: Named by the sharers whose calibration records leave too few for the audit, or a
            configuration of the embedder's folder cannot be read.
        ModelError: The embedder's folder cannot be used.
    """
    _check_representatives(bench)
    _check_calibration(bench)
    # Reads and checks the folder of a sentence encoder, if one is named.
    _ = bench.sentence_folder


def _check_representatives(bench: Workbench) -> None:
    settings, there = bench.config.sharers, len(bench.dataset.sharers)
    wanted = settings.representatives
    if wanted is None:
        return
    if wanted < settings.per_target:
        raise ConfigError(
            f"sharers.representatives is {wanted}, but each target gets {settings.per_target} of them "
            "(sharers.per_target)",
            hint="raise sharers.representatives or lower sharers.per_target",
        )
    if wanted > there:
        raise ConfigError(
            f"sharers.representatives is {wanted}, but the data hold {there} sharers",
            hint="lower sharers.representatives, or leave it out to keep every sharer",
        )


def _check_calibration(bench: Workbench) -> None:
    share = bench.config.sharers.calibration
    measuring = [m.id for m in bench.config.methods if getattr(m, "privacy", None) == "membership-gap"]
    if measuring and not share:
        raise ConfigError(
            f"method {measuring[0]}: 'privacy: membership-gap' needs records that the audit does not use",
            hint="set sharers.calibration, for example to 0.25",
        )
    if not share:
        return
    left = {user.id: len(bench.holdout.audited(user)) for user in bench.dataset.sharers}
    short = [user for user, records in left.items() if records < LEAST_AUDITED]
    if short:
        raise DataError(
            f"sharers.calibration is {share}, which leaves fewer than {LEAST_AUDITED} records to audit of: "
            f"{', '.join(short[:10])}",
            hint="lower sharers.calibration, or leave these users out",
        )
