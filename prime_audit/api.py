"""The package as a library: load a study, run it, read what it found."""

from pathlib import Path
from typing import TYPE_CHECKING

from prime_audit.config import StudyConfig, load_study
from prime_audit.results import Results, read_results

if TYPE_CHECKING:
    from prime_audit.study.progress import Progress

__all__ = ["evaluate", "load_results", "load_study", "run_directory"]

_RESULTS = "results.json"


def run_directory(config: StudyConfig, out: Path | None = None) -> Path:
    """Return where a study's run goes.

    Args:
        config: The study.
        out: The folder that was asked for, if one was.

    Returns:
        `out`, or `reports/<study name>` in the working directory.
    """
    return out if out is not None else Path("reports") / config.name


def evaluate(
    study: StudyConfig | str | Path,
    out: Path | None = None,
    *,
    fresh: bool = False,
    progress: "Progress | None" = None,
) -> Results:
    """Run a study, or what is left of it, and return what it found.

    Args:
        study: A loaded study, the name of a bundled one, or the path of a study file.
        out: The run directory; `reports/<study name>` by default.
        fresh: Start again: what an earlier run left there is removed first.
        progress: Told of every finished unit; silent by default.

    Returns:
        The results; they are also written to the run directory.

    Raises:
        PrimeAuditError: The study, its data or its model cannot be used, or the directory cannot be written.
    """
    # Imported here because it brings in torch, which reading results does not need.
    from prime_audit.study.progress import NO_PROGRESS
    from prime_audit.study.runner import run_study

    config = study if isinstance(study, StudyConfig) else load_study(study)
    told = progress if progress is not None else NO_PROGRESS
    directory = run_directory(config, out)
    run_study(config, directory, fresh=fresh, progress=told)
    # The file is canonical: its floats are rounded, and whatever is computed from a run starts from them.
    return read_results(directory / _RESULTS)


def load_results(path: str | Path) -> Results:
    """Read and check the results of a run.

    Args:
        path: A run directory, or its results.json.

    Returns:
        The results.

    Raises:
        DataError: The file is missing, broken, or of another version.
    """
    given = Path(path)
    return read_results(given / _RESULTS if given.is_dir() else given)
