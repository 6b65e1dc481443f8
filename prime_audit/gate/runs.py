"""A finished run as the gate reads it: results, what it was made from, and the scores of single records."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prime_audit.core import digest_json, read_json
from prime_audit.errors import DataError
from prime_audit.gate.schema import Frozen
from prime_audit.results import SCORES_FILE, Results, Scores, read_run_results, read_scores

# Where something lies, and how the work is carried out, changes no number; a training seed is what differs
# between the runs of one baseline.
_LEFT_OUT = ("report", "gate", "run")
_PLACES = (("data", "path"), ("model", "base"), ("sharers", "embedder"), ("training", "seed"))


class Identity(Frozen):
    """What two runs must have in common to be compared, and the digest of their settings.

    `design` holds the commitment of every design by the name of its file, `attacks` versions.
    """

    name: str
    task: str
    data: str | None
    design: dict[str, str]
    attacks: dict[str, int]
    results_schema: int
    study: str | None


@dataclass(frozen=True)
class Run:
    """A run; `identity` and `scores` are None where the run keeps none, as those of `attack` do."""

    results: Results
    identity: Identity | None = None
    scores: Scores | None = None


def load_run(path: Path) -> Run:
    """Read what the gate needs of a run directory.

    Args:
        path: The run directory.

    Returns:
        The run.

    Raises:
        DataError: There is no run, or a file of it is broken or of another version.
        IncompleteError: The run has not come to its end.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such run directory", hint="`prime-audit evaluate` makes one")
    results = read_run_results(path)
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict):
        raise DataError(f"{path / 'manifest.json'}: this is not a manifest", hint="run the study again")
    scores = path / "evidence" / SCORES_FILE
    return Run(results, _identity(results, manifest), read_scores(scores) if scores.exists() else None)


def differences(run: Identity, baseline: Identity) -> tuple[str, ...]:
    """Say why two runs cannot be compared.

    Args:
        run: The run.
        baseline: The baseline, or another run. Only what it names is looked at.

    Returns:
        What differs, in words; empty where they can be compared.
    """
    found = []
    if run.task != baseline.task:
        found.append("the task")
    if run.data is None or run.data != baseline.data:
        found.append("the data (users and records)")
    for name, commitment in baseline.design.items():
        if run.design.get(name) != commitment:
            found.append(f"the design {name} (who is a member of what)")
    for attack, version in baseline.attacks.items():
        mine = run.attacks.get(attack)
        if mine is not None and mine != version:
            found.append(f"the attack {attack} (version {mine}, the baseline's is {version})")
    if run.results_schema != baseline.results_schema:
        versions = f"{run.results_schema}, the baseline's is {baseline.results_schema}"
        found.append(f"the schema of the results (version {versions})")
    return tuple(found)


def _identity(results: Results, manifest: Mapping[str, object]) -> Identity:
    data, design = manifest.get("data_digest"), manifest.get("design")
    commitments = design.get("commitments", {}) if isinstance(design, dict) else {}
    return Identity.model_validate(
        {
            "name": results.study.name,
            "task": results.study.task,
            "data": data if isinstance(data, str) else None,
            "design": {str(name): str(value) for name, value in sorted(dict(commitments).items())},
            "attacks": {attack.id: attack.version for attack in results.attacks},
            "results_schema": results.schema_version,
            "study": settings_digest(manifest.get("study")),
        }
    )


def settings_digest(study: object) -> str | None:
    """Gives the digest of what a study sets, without what changes no number and what is null."""
    if not isinstance(study, dict):
        return None
    settings = {
        name: dict(part) if isinstance(part, dict) else part
        for name, part in study.items()
        if name not in _LEFT_OUT
    }
    for section, key in _PLACES:
        if isinstance(settings.get(section), dict):
            settings[section].pop(key, None)
    settings.pop("task", None)
    return digest_json(_without_nulls(settings))


def _without_nulls(part: object) -> object:
    """Keep what is set: an option that a later version adds, and that is off, makes no other study."""
    if isinstance(part, dict):
        return {name: _without_nulls(value) for name, value in part.items() if value is not None}
    return [_without_nulls(value) for value in part] if isinstance(part, list) else part
