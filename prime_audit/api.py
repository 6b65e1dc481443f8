"""The package as a library: load a study, run it, read what it found, add a method or an attack."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prime_audit.config import MethodSettings, StudyConfig, declare_attack, load_study
from prime_audit.errors import ConfigError
from prime_audit.results import Results, read_results, read_run_results

if TYPE_CHECKING:
    from attacks.base import ThreatModel
    from attacks.registry import Signal
    from prime_audit.personalize.registry import Personalise
    from prime_audit.study.progress import Progress

__all__ = [
    "evaluate",
    "load_results",
    "load_study",
    "register_attack",
    "register_method",
    "run_directory",
]

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
    reuse: Path | None = None,
    progress: "Progress | None" = None,
) -> Results:
    """Run a study, or what is left of it, and return what it found.

    Args:
        study: A loaded study, the name of a bundled one, or the path of a study file.
        out: The run directory; `reports/<study name>` by default.
        fresh: Start again: what an earlier run left there is removed first.
        reuse: Directory of another run; what this one would compute alike is taken from there.
        progress: Told of every finished unit; silent by default.

    Returns:
        The results; they are also written to the run directory.

    Raises:
        PrimeAuditError: The study, its data or its model cannot be used, or the directory cannot be written.
    """
    config = study if isinstance(study, StudyConfig) else load_study(study)
    directory = run_directory(config, out)
    # Imported here because it brings in torch, which reading results does not need.
    from prime_audit.study.progress import NO_PROGRESS
    from prime_audit.study.runner import run_study

    told = progress if progress is not None else NO_PROGRESS
    run_study(config, directory, fresh=fresh, reuse=reuse, progress=told)
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
        IncompleteError: The run has not come to its end.
    """
    given = Path(path)
    return read_run_results(given) if given.is_dir() else read_results(given)


def register_method(
    kind: str,
    *,
    settings: type[MethodSettings],
    family: Literal["prompt", "training", "merging", "control"],
    label: str,
    source: str = "",
) -> "Callable[[Personalise], Personalise]":
    """Register a function as a method that studies may name.

    A package brings a method by an entry point in the group `prime_audit.methods` whose name is the kind and
    whose value is the module with this decorator; it is imported only when a study names the kind.

    Args:
        kind: The name used in study files.
        settings: What a study may set; a subclass of `prime_audit.config.MethodSettings` with defaults.
        family: `merging` is audited about the sharers whose modules it merges.
        label: A short human name.
        source: Where the method is described.

    Returns:
        A decorator for a function from a `TargetContext` and the settings to a `Personalisation`.

    Raises:
        ConfigError: Another method has this kind; both are named.
    """
    # Imported here because it brings in torch.
    from prime_audit.personalize.registry import register

    return register(kind, settings=settings, family=family, label=label, source=source)


def register_attack(
    name: str,
    *,
    needs: Sequence[str],
    threat_model: "ThreatModel" = "A2",
    source: str = "",
    version: int = 1,
    params: Mapping[str, float] | None = None,
    min_tokens: int = 1,
) -> "Callable[[Signal], Signal]":
    """Register a function as a membership attack that studies may name.

    A package brings an attack by an entry point in the group `prime_audit.attacks`, as for a method.

    Args:
        name: The name used in study files.
        needs: The parts of the evidence that it reads: `logp`, `mean_logp`, `std_logp`, `is_argmax`, `token`,
            `compressed_bytes`, `reference`.
        threat_model: The weakest adversary that can run it, `A0` to `A5`.
        source: Where the attack is described.
        version: Raise it whenever its scores change.
        params: Settings of its formula, for the report.
        min_tokens: Fewest scored tokens of a record that it can score.

    Returns:
        A decorator for a function from `attacks.Evidence` about N records to N scores, higher for members.

    Raises:
        ConfigError: Another attack has this name (both are named), or the declaration is wrong.
    """
    from attacks.registry import register

    def add(signal: "Signal") -> "Signal":
        try:
            register(
                name,
                needs=needs,
                threat_model=threat_model,
                source=source,
                version=version,
                params=params,
                min_tokens=min_tokens,
            )(signal)
        except ValueError as error:
            raise ConfigError(str(error), hint="mend the package that brings the attack") from error
        declare_attack(name)
        return signal

    return add
