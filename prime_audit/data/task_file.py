"""Finding a task by its id, or reading a user's own from a YAML file."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from prime_audit.config import parse_yaml
from prime_audit.config.explain import describe_fault, nearest
from prime_audit.config.section import Id
from prime_audit.core import read_text
from prime_audit.data.lamp_tasks import TASKS
from prime_audit.data.tasks import METRICS, Kind, Task
from prime_audit.errors import ConfigError

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


_EXAMPLE = """\
  id: mood
  kind: choice              # or number, or text (which has no labels)
  instruction: Say which mood this person's post is in.
  input_name: post
  answer_name: mood
  labels: [glad, sad, angry]"""


class TaskFile(BaseModel):
    """The keys of a task file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    id: Id
    title: Words | None = None
    kind: Kind
    instruction: Words
    input_name: Words
    answer_name: Words
    labels: list[str | int | float] = []
    max_new_tokens: Annotated[int, Field(ge=1)] = 32


def load_task(task: str | Path) -> Task:
    """Return a registered task, or read one from a file.

    Args:
        task: An id such as `lamp-4`, or the path of a YAML file with the keys id, title, kind, instruction,
            input_name, answer_name, labels and max_new_tokens.

    Returns:
        The task.

    Raises:
        ConfigError: There is no such task, or its file holds faults; all of them are listed.
    """
    name = str(task)
    if name in TASKS:
        return TASKS[name]
    path = Path(task)
    if path.suffix not in {".yaml", ".yml"}:
        meant = nearest(name, list(TASKS))
        advice = f"did you mean '{meant}'? " if meant else ""
        hint = f"{advice}give one of {', '.join(TASKS)}, or the path of a .yaml file"
        raise ConfigError(f"task: there is no task '{name}'", hint=hint)
    if not path.is_file():
        raise ConfigError(f"task: no such file: {path}")
    return _read(path)


def _read(path: Path) -> Task:
    raw = parse_yaml(read_text(path), str(path))
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a task file is a list of 'key: value' lines")
    try:
        parsed = TaskFile.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{path}: {line}" for line in _explained(error)),
            hint=f"a task file that is complete:\n{_EXAMPLE}\nthe metric follows from the kind: "
            + ", ".join(f"{k} {m}" for k, m in METRICS.items()),
        ) from error
    labels = tuple(str(label).strip() for label in parsed.labels)
    faults = _label_faults(parsed.kind, labels)
    if parsed.id in TASKS:
        faults.append(f"id: '{parsed.id}' is the name of a registered task; choose another")
    if faults:
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    return Task(
        id=parsed.id,
        title=parsed.title or parsed.id,
        kind=parsed.kind,
        instruction=parsed.instruction,
        input_name=parsed.input_name,
        answer_name=parsed.answer_name,
        labels=labels,
        metric=METRICS[parsed.kind],
        max_new_tokens=parsed.max_new_tokens,
    )


def _explained(error: ValidationError) -> list[str]:
    lines = []
    for detail in error.errors(include_url=False):
        path = ".".join(str(part) for part in detail["loc"][:2])
        if detail["type"] == "extra_forbidden":
            keys = list(TaskFile.model_fields)
            meant = nearest(path, keys)
            advice = f"did you mean '{meant}'?" if meant else f"valid here: {', '.join(keys)}"
            lines.append(f"unknown key '{path}'; {advice}")
        else:
            lines.append(describe_fault(path, detail))
    # A label that is neither text nor number fails once for each of the types it could have had.
    return list(dict.fromkeys(lines))


def _label_faults(kind: Kind, labels: tuple[str, ...]) -> list[str]:
    if kind == "text":
        return ["labels: a text task has none"] if labels else []
    faults = []
    if len(labels) < 2:
        faults.append(f"labels: a {kind} task needs at least two")
    if len(set(labels)) < len(labels) or "" in labels:
        faults.append("labels: each must differ from the others and none may be empty")
    if kind == "number" and not _ascending(labels):
        faults.append("labels: a number task needs numbers in ascending order")
    return faults


def _ascending(labels: tuple[str, ...]) -> bool:
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return False
    return numbers == sorted(numbers)
