"""Loading a study: a bundled name or a file, `--set` values on top, paths resolved, every fault listed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from prime_audit.config.explain import explain, nearest
from prime_audit.config.families import members, read_member
from prime_audit.config.section import MethodSettings
from prime_audit.config.strict_yaml import parse_yaml
from prime_audit.config.study import GateConfig, ModelConfig, StudyConfig
from prime_audit.errors import ConfigError

# The keys that may name a file or a folder.
_PATHS = ("data.path", "data.sharers_from", "task", "model.base", "sharers.embedder")
_ENCODER = "encoder"
STUDIES = Path(__file__).resolve().parent.parent / "studies"


def bundled_studies() -> list[str]:
    """Return the names of the studies that come with the package.

    Returns:
        The names, sorted.
    """
    return sorted([*(path.stem for path in STUDIES.glob("*.yaml")), *members(STUDIES / "families")])


def load_study(
    study: str | Path, overrides: Sequence[str] = (), seed: int | None = None, data: Path | None = None
) -> StudyConfig:
    """Load a study and check every key of it.

    Relative paths in the file are taken from the file's folder; those of `overrides` and `data` from the
    working directory. All paths come back absolute.

    Args:
        study: The name of a bundled study, or the path of a study file.
        overrides: Settings such as `training.rank=4` or `methods.prime.alpha=0.2`; values are YAML. An
            entry of a list is named by its position or by its id.
        seed: A seed in place of the study's.
        data: A data path in place of the study's.

    Returns:
        The study, frozen.

    Raises:
        ConfigError: The study does not exist, or holds faults; all of them are listed.
    """
    where = str(study)
    raw = _raw(study)
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: a study is a list of 'key: value' lines", hint="see `prime-audit init`")
    keys = [_override(raw, text) for text in overrides]
    if seed is not None:
        raw["seed"] = seed
    if data is not None:
        section = raw.get("data") or {}
        if isinstance(section, dict):
            raw["data"] = {**section, "path": str(_absolute(data, Path.cwd()))}
    try:
        # Through JSON, so that strict checking takes lists for tuples and nothing else for anything.
        return StudyConfig.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        lines = explain(error, where, keys)
    count = f"{where}: {len(lines)} faults\n" if len(lines) > 1 else ""
    raise ConfigError(count + "\n".join(lines), hint="`prime-audit schema study` lists every key")


def load_method(
    base: str, method: str | Mapping[str, object], overrides: Sequence[str] = ()
) -> tuple[ModelConfig, MethodSettings]:
    """Check the settings of one model and one method outside of a study.

    Args:
        base: The base model.
        method: The kind of the method, or a section with the key `kind`, as in a study.
        overrides: Settings of the method such as `budget=28`, or of the model such as `model.device=cpu`;
            values are YAML.

    Returns:
        The settings of the model and of the method.

    Raises:
        ConfigError: There is no such method, or its settings hold faults; all of them are listed.
    """
    section: dict[str, object] = {"kind": method} if isinstance(method, str) else dict(method)
    if section.get("kind") == "official":
        section |= {"kind": "prime", "preset": "official"}
    # A method is checked as part of the smallest study that holds it.
    raw: dict[str, object] = {"schema_version": 1, "name": "one-method", "task": "none"}
    raw |= {"model": {"base": base}, "methods": [section]}
    keys = [
        _override(raw, text) if text.startswith("model.") else f"methods.0.{_override(section, text)}"
        for text in overrides
    ]
    try:
        study = StudyConfig.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        lines = [line.replace("methods[0].", "") for line in explain(error, "method", keys)]
        raise ConfigError(
            "\n".join(line.replace("methods[0]: ", "") for line in lines),
            hint="`prime-audit list methods` lists the methods, `prime-audit schema study` their keys",
        ) from error
    return study.model, study.methods[0]


def _raw(study: str | Path) -> object:
    """What the file of a study holds, with its paths made absolute."""
    families = members(STUDIES / "families")
    if str(study) in families:
        return read_member(families[str(study)], str(study))
    path = _find(study)
    raw = parse_yaml(_read(path), str(study))
    if isinstance(raw, dict):
        _resolve_paths(raw, path.parent)
    return raw


def load_rules(path: Path) -> GateConfig:
    """Load the gate's rules from a file of their own: a YAML list of rules, or `rules:` with one.

    Args:
        path: The file.

    Returns:
        The rules.

    Raises:
        ConfigError: The file cannot be read, holds no rule, or holds faults; all of them are listed.
    """
    raw = parse_yaml(_read(path), str(path))
    rules = raw.get("rules") if isinstance(raw, dict) and set(raw) == {"rules"} else raw
    if not isinstance(rules, list) or not rules:
        raise ConfigError(f"{path}: a rules file is a list of rules", hint="the README shows one")
    # Checked as part of the smallest study that holds them.
    whole = {"schema_version": 1, "name": "rules", "task": "none", "gate": {"rules": rules}}
    try:
        return StudyConfig.model_validate_json(json.dumps(whole)).gate
    except ValidationError as error:
        lines = [line.replace("gate.rules", "rules") for line in explain(error, str(path), [])]
    raise ConfigError("\n".join(lines), hint="`prime-audit schema study` lists every key of a rule")


def _find(study: str | Path) -> Path:
    """The file behind a name or a path."""
    names = bundled_studies()
    if str(study) in names:
        return STUDIES / f"{study}.yaml"
    path = Path(study).expanduser()
    if path.is_file():
        return path
    meant = nearest(str(study), names)
    advice = f"did you mean '{meant}'? " if meant else ""
    raise ConfigError(
        f"{study}: no such study file",
        hint=f"{advice}give the path of a file or one of the bundled studies: {', '.join(names) or 'none'}",
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start})", hint="save the file as UTF-8") from error


def _override(raw: dict[str, object], text: str) -> str:
    """Put one `--set` value in its place and return its path, list positions as numbers."""
    key, equals, value_text = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {text}: expected KEY=VALUE", hint="for example --set training.rank=4")
    value = parse_yaml(value_text, f"--set {key}")
    if parts[0] == "methods" and len(parts) > 1 and raw.get("methods") is None:
        raw["methods"] = [method.model_dump() for method in StudyConfig.model_fields["methods"].default]
    node: object = raw
    steps: list[str] = []
    for part in parts[:-1]:
        step = _step(node, part, key)
        steps.append(str(step))
        if isinstance(node, dict):
            # An empty section in YAML is null.
            if node.get(step) is None:
                node[step] = {}
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int):
            if isinstance(node[step], str):
                node[step] = {"kind": node[step]}
            node = node[step]
    last = _step(node, parts[-1], key)
    if isinstance(node, dict):
        _take(node, str(last), value, ".".join(parts))
    elif isinstance(node, list) and isinstance(last, int):
        node[last] = value
    return ".".join([*steps, str(last)])


def _take(node: dict[str, object], last: str, value: object, key: str) -> None:
    """Set a value; a path given on the command line starts at the working directory."""
    node[last] = value
    if isinstance(value, str) and (key in _PATHS or _is_encoder(key)):
        node[last] = _located(key, value, Path.cwd())


def _step(node: object, part: str, key: str) -> int | str:
    """Where one part of a dotted key leads: a key of a section, or the position of a list's entry."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise ConfigError(f"--set {key}: there is no section above '{part}'")
    names = [entry.get("id", entry.get("kind")) if isinstance(entry, dict) else entry for entry in node]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(node):
        return int(part)
    known = ", ".join(str(name) for name in names) or "nothing"
    raise ConfigError(f"--set {key}: the list has no entry '{part}'; it has {known}")


def _resolve_paths(raw: dict[str, object], folder: Path) -> None:
    """Make the paths in a study file absolute, starting at the file's folder."""
    for key in _PATHS:
        section, _, leaf = key.rpartition(".")
        node = raw.get(section) if section else raw
        if isinstance(node, dict) and isinstance(value := node.get(leaf), str):
            node[leaf] = _located(key, value, folder)
    methods = raw.get("methods")
    for method in methods if isinstance(methods, list) else []:
        if isinstance(method, dict) and isinstance(value := method.get(_ENCODER), str):
            method[_ENCODER] = _located(f"methods.{_ENCODER}", value, folder)


def _is_encoder(key: str) -> bool:
    """Whether a dotted key is the one of a method that may name a sentence encoder's folder."""
    return key.startswith("methods.") and key.endswith(f".{_ENCODER}")


def _located(key: str, value: str, folder: Path) -> str:
    """A value as an absolute path if it names a file or folder; a task or model may also be a plain id."""
    path = _absolute(Path(value), folder)
    if key == "task":
        is_path = value.endswith((".yaml", ".yml"))
    elif key == "model.base":
        is_path = value.startswith((".", "~", "/")) or (value not in {"tiny", "smollm2"} and path.is_dir())
    elif key == "sharers.embedder" or _is_encoder(key):
        is_path = value not in {"base", "tfidf"}
    else:
        is_path = True
    return str(path) if is_path else value


def _absolute(path: Path, folder: Path) -> Path:
    return (folder / path.expanduser()).resolve()
