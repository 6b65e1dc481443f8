"""What a study asks of its sharers, checked against the data before any compute."""

from prime_audit.errors import ConfigError, DataError
from prime_audit.study.workbench import Workbench

# With fewer records of a sharer there is no member to compare with a non-member.
LEAST_AUDITED = 2


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
