"""What the section `audit` asks for, checked against the study and its data before any compute."""

from collections.abc import Sequence

from attacks import ATTACKS
from prime_audit.config import AuditConfig, BlackBoxConfig, MethodConfig
from prime_audit.config.explain import nearest
from prime_audit.errors import ConfigError, DataError
from prime_audit.personalize import METHODS
from prime_audit.study.remaking import bound_to_records, rerun_method
from prime_audit.study.workbench import Workbench

# A shadow is trained on half of a history.
LEAST_HALVED = 2


def check_audit(bench: Workbench, merging: Sequence[MethodConfig]) -> None:
    """Refuses designs and attacks that the study cannot give what they need.

    Args:
        bench: The workbench.
        merging: The methods that merge sharers' modules and are built from no other method.

    Raises:
        ConfigError: Named by the setting.
    """
    audit = bench.config.audit
    deployed = [m.id for m in bench.config.methods if METHODS[m.kind].subject is not None]
    _check_named("audit.passes.methods", audit.passes.methods, deployed)
    again = [method.id for method in merging]
    for name, section in (("swaps", audit.swaps), ("pools", audit.pools)):
        if section is not None:
            _check_named(f"audit.{name}.methods", section.methods, again)
            if not merging:
                raise ConfigError(
                    f"audit.{name} makes merges again, and no method merges sharers",
                    hint="add a merging method",
                )
    _check_merges(audit, merging)
    if audit.linkage_black_box is not None:
        _check_black_box(bench, audit.linkage_black_box)
    shown = [m.id for m in bench.config.methods if METHODS[m.kind].may_show_history]
    if audit.prompt_leak and shown and bench.dataset.task.kind != "text":
        raise ConfigError(
            f"audit.prompt_leak: a {bench.dataset.task.kind} task answers with its labels alone, in which no "
            "record can come out",
            hint="leave it out, or use a text task",
        )
    _check_attacks(bench)
    _check_sizes(bench)
    _check_made_again(bench, merging)
    if bench.config.sharers.privacy is not None:
        for name in ("shadows", "swaps"):
            if getattr(audit, name) is not None:
                raise ConfigError(
                    f"audit.{name} trains modules without privacy, which are no match for those of "
                    "sharers.privacy",
                    hint=f"leave out audit.{name} or sharers.privacy",
                )
    if audit.design == "prime-paper" and not merging:
        raise ConfigError(
            "audit.design: prime-paper compares sharers that are merged with others, and no method merges",
            hint="add a merging method, or use the design holdout",
        )


def _check_merges(audit: AuditConfig, merging: Sequence[MethodConfig]) -> None:
    """Refuses what is asked of merges where there are none."""
    asked = {
        "canaries": audit.canaries is not None,
        "posing": audit.posing is not None,
        "linkage": audit.linkage,
        "linkage_black_box": audit.linkage_black_box is not None,
        "attributes": audit.attributes,
    }
    for name, wanted in asked.items():
        if wanted and not merging:
            raise ConfigError(
                f"audit.{name} is about merges, and no method merges sharers",
                hint=f"add a merging method, or leave out audit.{name}",
            )


def _check_black_box(bench: Workbench, settings: BlackBoxConfig) -> None:
    """Refuses linkage from likelihoods where nobody is left to compare merged sharers with."""
    merging = [m.id for m in bench.config.methods if METHODS[m.kind].subject == "sharer"]
    _check_named("audit.linkage_black_box.methods", settings.methods, merging)
    pool = bench.config.sharers.representatives or len(bench.dataset.sharers)
    if pool <= bench.config.sharers.per_target:
        raise ConfigError(
            "audit.linkage_black_box compares merged sharers with others, and each target merges all of them",
            hint="lower sharers.per_target, add sharers, or leave out audit.linkage_black_box",
        )


def _check_named(where: str, names: Sequence[str] | None, valid: Sequence[str]) -> None:
    for name in names or ():
        if name not in valid:
            meant = nearest(name, list(valid))
            hint = f"did you mean '{meant}'?" if meant else f"possible here: {', '.join(valid) or 'none'}"
            raise ConfigError(
                f"{where}: '{name}' is no method of this study that it could be run on", hint=hint
            )


def _check_attacks(bench: Workbench) -> None:
    """Attacks that were named one by one must be able to run; `all` leaves out what cannot."""
    audit = bench.config.audit
    if audit.attacks in ("default", "all"):
        return
    for name in audit.attack_ids:
        if "shadows" in ATTACKS[name].needs and audit.shadows is None:
            raise ConfigError(
                f"audit.attacks: {name} compares with shadow modules, and the study trains none",
                hint="add 'audit.shadows: {count: 8}', or leave the attack out",
            )
        if "prefixed_members" in ATTACKS[name].needs and bench.config.sharers.per_target < 2:
            raise ConfigError(
                f"audit.attacks: {name} is made by another sharer of the same merge, and there is none",
                hint="raise sharers.per_target to at least 2, or leave the attack out",
            )
        if "corpus" in ATTACKS[name].needs and not bench.dataset.public:
            raise ConfigError(
                f"audit.attacks: {name} needs the word counts of public users, and the data hold none",
                hint="add users with the role 'public', or leave the attack out",
            )


def _check_made_again(bench: Workbench, merging: Sequence[MethodConfig]) -> None:
    """Refuses a swap through a method that holds more of the sharers' records than their modules."""
    swaps = bench.config.audit.swaps
    if swaps is None or not merging:
        return
    named = [m for m in merging if m.id in swaps.methods] if swaps.methods else [rerun_method(bench.config)]
    for method in named:
        if why := bound_to_records(method):
            raise ConfigError(
                f"audit.swaps: method {method.id} cannot be made again of swapped modules: {why}",
                hint="name other methods in audit.swaps.methods",
            )


def _check_sizes(bench: Workbench) -> None:
    audit, there = bench.config.audit, len(bench.dataset.sharers)
    wanted = bench.config.sharers.per_target
    if audit.shadows is not None and (audit.shadows.sharers or 0) > there:
        raise ConfigError(
            f"audit.shadows.sharers is {audit.shadows.sharers}, but the data hold {there} sharers",
            hint="lower it, or leave it out to give every sharer shadows",
        )
    if audit.shadows is not None:
        short = [user for user in bench.shadows.keep if len(bench.dataset.user(user).history) < LEAST_HALVED]
        if short:
            raise DataError(
                f"audit.shadows halves histories, and these hold fewer than {LEAST_HALVED} records: "
                f"{', '.join(short[:10])}",
                hint="leave these users out, or give fewer sharers shadows (audit.shadows.sharers)",
            )
    if audit.pools is not None and there // 2 < wanted:
        raise ConfigError(
            f"audit.pools halves the {there} sharers, but each target gets {wanted} (sharers.per_target)",
            hint=f"add sharers, or lower sharers.per_target to {there // 2}",
        )
    if audit.posing is not None and there <= wanted:
        raise ConfigError(
            f"audit.posing: all {there} sharers are selected for every target, so none has to pose for it",
            hint=f"add sharers, or lower sharers.per_target to {there - 1}" if there > 1 else "add sharers",
        )
    pool = bench.config.sharers.representatives or there
    if audit.design == "prime-paper" and pool <= wanted:
        raise ConfigError(
            "audit.design: prime-paper takes the sharers that a target did not select for non-members, and "
            "none is left",
            hint="lower sharers.per_target, or add sharers",
        )
