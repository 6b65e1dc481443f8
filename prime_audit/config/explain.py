"""Turning pydantic's errors about a study into sentences with the nearest valid key."""

import difflib
import re
from collections.abc import Collection, Sequence
from types import UnionType
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from prime_audit.config.study import METHOD_KINDS, GateRule, StudyConfig

_TYPE_NAMES = {"dict": "a section", "list": "a list", "NoneType": "empty"}
_LIST_ITEMS = {"gate": GateRule}


def valid_paths() -> list[str]:
    """Return every key path of a study outside of its lists, such as `training.rank`.

    Returns:
        The paths, sections included, in the order of the study file.
    """
    paths = []
    for name, field in StudyConfig.model_fields.items():
        paths.append(name)
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for key, inner in section.model_fields.items():
                paths += [f"{name}.{key}", *(f"{name}.{key}.{last}" for last in _optional_section(inner))]
    return paths


def _optional_section(field: FieldInfo) -> list[str]:
    """The keys of a section that may be left out whole, such as `sharers.privacy`."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is UnionType else ()
    sections = [one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)]
    return [key for section in sections for key in section.model_fields]


def nearest(word: str, options: Collection[str]) -> str:
    """Return the option that a mistyped path most likely meant.

    Args:
        word: The path as written, such as `trainig.rank`.
        options: The valid ones.

    Returns:
        One of the options, or an empty string if none is close.
    """
    leaf = word.rpartition(".")[2]
    # The right key in the wrong section is more likely meant than a similar path with another key.
    same_leaf = [option for option in options if option.rpartition(".")[2] == leaf]
    found = difflib.get_close_matches(word, same_leaf, n=1, cutoff=0.0)
    found = found or difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    return found[0] if found else ""


def explain(error: ValidationError, where: str, overridden: Sequence[str]) -> list[str]:
    """Return one line per fault of a study, or several for an unknown section with several keys.

    Args:
        error: What pydantic found.
        where: The study file, for messages.
        overridden: The key paths given with `--set`; their faults are not blamed on the file.

    Returns:
        The lines, in the order of the study file.
    """
    lines = []
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_inside(other, detail) for other in details):
            # Faulty entries are not counted, so their list may seem empty: their own faults are enough.
            continue
        path = _path(detail["loc"])
        unknown = detail["type"] == "extra_forbidden"
        for key, text in _unknown(path, detail) if unknown else [(path, describe_fault(path, detail))]:
            given = any(_overlap(key, override) for override in overridden)
            lines.append(f"{'--set' if given else where}: {text}")
    return lines


def _inside(detail: ErrorDetails, outer: ErrorDetails) -> bool:
    depth = len(outer["loc"])
    return len(detail["loc"]) > depth and detail["loc"][:depth] == outer["loc"]


def _overlap(key: str, override: str) -> bool:
    dotted = re.sub(r"\[(\d+)\]", r".\1", key)
    return bool(key) and f"{dotted}.".startswith(f"{override}.")


def _path(loc: tuple[int | str, ...]) -> str:
    """The key path of a fault, without the names that pydantic puts in for the branches of a union."""
    if loc[:1] == ("methods",) or loc[:2] == ("audit", "attacks"):
        loc = loc[:2] + loc[3:]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _unknown(path: str, detail: ErrorDetails) -> list[tuple[str, str]]:
    """The unknown keys behind one fault, each with what may have been meant."""
    loc = detail["loc"]
    keys: Sequence[str] = valid_paths()
    if loc[0] == "methods":
        keys = [f"methods[{loc[1]}].{key}" for key in METHOD_KINDS[str(loc[2])].model_fields]
    elif loc[0] in _LIST_ITEMS and len(loc) > 3:
        stem = path.rpartition(".")[0]
        keys = [f"{stem}.{key}" for key in _LIST_ITEMS[str(loc[0])].model_fields]
    found = []
    for wrong in _leaves(path, detail["input"]):
        meant = nearest(wrong, keys)
        advice = f"did you mean '{meant}'?" if meant else f"valid here: {', '.join(_siblings(wrong, keys))}"
        found.append((wrong, f"unknown key '{wrong}'; {advice}"))
    return found


def _leaves(path: str, value: object) -> list[str]:
    """The paths below an unknown section, or its own when it holds no keys."""
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for key, inner in value.items() for leaf in _leaves(f"{path}.{key}", inner)]


def _siblings(path: str, keys: Sequence[str]) -> list[str]:
    stem = path.rpartition(".")[0]
    beside = [key.rpartition(".")[2] for key in keys if key.rpartition(".")[0] == stem]
    return beside or [key for key in keys if "." not in key]


def describe_fault(path: str, detail: ErrorDetails) -> str:
    """Return one sentence for a value that does not fit.

    Args:
        path: Where the value stands.
        detail: What pydantic says of it; not an unknown key.

    Returns:
        The sentence, without the name of the file.
    """
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "missing":
        return f"the key '{path}' is missing"
    if kind == "value_error":
        text = str(context["error"])
        return f"{path}: {text}" if path else text
    if path == "schema_version":
        return f"schema_version is {value!r}, and this release of prime-audit reads 1"
    if kind in {"union_tag_invalid", "literal_error"}:
        options = re.findall(r"'([^']+)'", str(context.get("expected_tags") or context["expected"]))
        given = context.get("tag", value)
        meant = nearest(given, options) if isinstance(given, str) else ""
        advice = f"; did you mean '{meant}'?" if meant else ""
        return f"{path}: {_shown(given)} is not one of {', '.join(options)}{advice}"
    if kind == "union_tag_not_found":
        return f"{path}: a method is a name or a section with the key 'kind' ({', '.join(METHOD_KINDS)})"
    if kind == "string_pattern_mismatch":
        return f"{path}: {_shown(value)} is not a usable name: letters, digits, '.', '_' and '-', at most 64"
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return f"{path}: should be a section with keys (it is {_shown(value)})"
    message = detail["msg"].replace("Input should", "should").replace("String should", "should")
    message = (
        message.replace("a valid boolean", "true or false")
        .replace("a valid array", "a list")
        .replace("a valid string", "text")
    )
    return f"{path}: {message} (it is {_shown(value)})"


def _shown(value: object) -> str:
    """A value as a reader knows it from YAML, cut short."""
    name = type(value).__name__
    if name in _TYPE_NAMES:
        return _TYPE_NAMES[name]
    text = str(value).lower() if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
