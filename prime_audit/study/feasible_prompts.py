"""What methods want to put into prompts, checked against the study's data before any compute."""

from pathlib import Path

from prime_audit.config import ProfileSettings, RetrievalSettings
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import read_sentence_folder
from prime_audit.personalize import METHODS
from prime_audit.study.workbench import Workbench

_LISTED = 10


def check_prompts(bench: Workbench) -> None:
    """Refuses prompts whose contents the data do not hold, or that a hold-out design must not show.

    Args:
        bench: The workbench.

    Raises:
        ConfigError: A method shows public users' items and there are none, or profiles of unknown origin.
        DataError: Named by the targets without the profile that a method shows.
        ModelError: The folder of an encoder cannot be used.
    """
    for method in bench.config.methods:
        if METHODS[method.kind].needs_public and not bench.dataset.public:
            raise ConfigError(
                f"method {method.id} shows items of public users, and the data hold none",
                hint="give some users the role 'public' (data.public in LaMP's layout), or leave it out",
            )
        if isinstance(method, ProfileSettings) and method.source == "given":
            _check_given(bench, method)
        if isinstance(method, RetrievalSettings) and method.encoder != "base":
            read_sentence_folder(Path(method.encoder))


def _check_given(bench: Workbench, method: ProfileSettings) -> None:
    if bench.config.audit.design == "holdout" and not method.independent:
        raise ConfigError(
            f"method {method.id}: the given profiles may tell of records that this design holds out",
            hint="set 'independent: true' if they were not made from these histories; or use "
            "'source: written', 'source: template' or the design prime-paper",
        )
    missing = [user.id for user in bench.dataset.targets if not (user.profile_text or "").strip()]
    if missing:
        raise DataError(
            f"method {method.id}: no profile_text of {', '.join(missing[:_LISTED])}",
            hint="add it to the data, or set 'source: template' or 'source: written'",
        )
