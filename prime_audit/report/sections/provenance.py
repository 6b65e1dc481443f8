"""Where the figures come from and how to get them again."""

from collections.abc import Iterator, Mapping, Sequence

from prime_audit.report.parts import Table
from prime_audit.report.source import Source

_MOST_ROWS = 400
_UNKNOWN = "not recorded"


def view(source: Source) -> dict[str, object]:
    """Prepare the study's identity, the manifest as rows, and the command.

    Args:
        source: The run.

    Returns:
        What the template shows.
    """
    study = source.results.study
    manifest = source.manifest
    command = manifest.get("command")
    facts: tuple[tuple[str, str], ...] = (
        ("study", study.name),
        ("task", study.task),
        ("seed", str(study.seed)),
        ("design", study.design),
        ("digest of the configuration", study.config_digest),
        ("model", _at(manifest, "model", "name")),
        ("digest of the model", _at(manifest, "model", "digest")),
        ("digest of the data", _at(manifest, "data_digest")),
        ("commitment of the design", _at(manifest, "design", "commitment")),
        ("version", " ".join((_at(manifest, "tool", "name"), _at(manifest, "tool", "version")))),
        ("finished", _at(manifest, "finished")),
    )
    if source.lists:
        # Plain scores come without a model, and nothing was trained.
        facts = tuple((name, value) for name, value in facts if value not in ("", _UNKNOWN))
    rows = tuple(flatten(manifest))[:_MOST_ROWS]
    return {
        "facts": Table("Provenance", ("What", "Value"), facts, text=2),
        "manifest": Table("Everything the manifest holds", ("Entry", "Value"), rows, text=2)
        if rows
        else None,
        "command": command if isinstance(command, str) else "prime-audit evaluate config.resolved.yaml",
    }


def flatten(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested JSON values into rows.

    Args:
        value: A mapping, a list or a plain value.
        name: The name of `value`, for the rows.

    Yields:
        A dotted name and the text of each leaf; lists of plain values stay together.
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from flatten(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if any(isinstance(entry, Mapping) for entry in value):
            for position, entry in enumerate(value):
                yield from flatten(entry, f"{name}[{position}]")
        else:
            yield name, ", ".join(str(entry) for entry in value)
    else:
        yield name, "none" if value is None else str(value)


def _at(manifest: Mapping[str, object], *path: str) -> str:
    value: object = manifest
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return _UNKNOWN if value is None else str(value)
