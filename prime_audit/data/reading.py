"""Reading a study's users from disk: the layout is recognised, every fault listed, the caps applied."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from prime_audit.config import DataConfig
from prime_audit.core import plural, read_json, read_json_list
from prime_audit.data import lamp, per_pcs
from prime_audit.data.lamp import AlsoTargets, read_lamp
from prime_audit.data.lamp_forms import FORMS, tasks_named
from prime_audit.data.per_pcs import read_per_pcs
from prime_audit.data.records import Faults, Place, note_repeats
from prime_audit.data.tasks import Task
from prime_audit.data.users import Dataset, Role, User, make_dataset, shortened
from prime_audit.data.users_jsonl import read_users_jsonl
from prime_audit.errors import ConfigError, DataError

USERS = "users.jsonl"
LayoutName = Literal["users", "per-pcs", "lamp"]


def read_dataset(config: DataConfig, task: Task) -> Dataset:
    """Read users and records.

    Args:
        config: Where they are, in which layout, and how many of them to take (the first ones).
        task: What is asked; answers must fit it.

    Returns:
        The dataset.

    Raises:
        ConfigError: A setting of the section `data` does not fit the layout.
        DataError: The path or the layout is wrong, or the files hold faults; all of them are listed.
    """
    if config.path is None:
        raise DataError("this study names no data", hint="set data.path or give --data")
    path = Path(config.path)
    layout = detect_layout(path) if config.layout == "auto" else config.layout
    _check_settings(config, layout)
    faults, notes = Faults(), list[str]()
    if layout == "users":
        users = read_users_jsonl(path / USERS if path.is_dir() else path, task, faults)
    elif layout == "per-pcs":
        users = read_per_pcs(path, task, faults)
    else:
        users, notes = _lamp(config, path, task, faults)
    faults.raise_any(str(path))
    if not users:
        raise DataError(f"{path}: there is no user in it")
    caps: dict[Role, int | None] = {
        "sharer": config.sharers,
        "target": config.targets,
        "public": config.public,
    }
    for role, count in caps.items():
        users = _capped(users, role, count, path, notes)
    if faults.empty:
        notes.append(f"{plural(faults.empty, 'past item')} without text or answer left out")
    return make_dataset(task, shortened(users, config.max_input_words), notes)


def _check_settings(config: DataConfig, layout: LayoutName) -> None:
    if layout != "lamp" and config.sharers_from is not None:
        raise ConfigError(
            f"data.sharers_from (--sharers) is for LaMP's own layout; the {layout} layout holds its sharers",
            hint="leave it out, or merge the files with `prime-audit data convert`",
        )
    if layout == "lamp" and config.public is not None and config.sharers is None:
        raise ConfigError(
            "data.public takes the users of the train split that come after the sharers, and data.sharers "
            "does not say how many these are",
            hint="set data.sharers as well",
        )


def _lamp(config: DataConfig, path: Path, task: Task, faults: Faults) -> tuple[tuple[User, ...], list[str]]:
    """Targets from the dev split, everyone else from the train split or from where the study says."""
    targets = read_lamp(
        path if path.is_file() else path / lamp.TARGETS, task, faults, "target", config.targets
    )
    source = source_of_sharers(config, path)
    if source is None and (config.sharers or config.public):
        raise DataError(
            f"{path}: data.sharers and data.public count users of the train split, but there is no "
            f"{lamp.SHARERS}",
            hint="put it and its outputs beside the dev split, or name users who share with --sharers "
            "(data.sharers_from); without sharers: --set data.sharers=null --set data.public=null",
        )
    if source is None:
        return tuple(targets), []
    keep = None if config.sharers is None else config.sharers + (config.public or 0)
    also = AlsoTargets(targets)
    others = read_others(source, task, faults, keep, also)
    if detect_layout(source) == "lamp" and config.public is not None and config.sharers is not None:
        rest = [replace(user, role="public") for user in others[config.sharers :]]
        others = [*others[: config.sharers], *rest]
    note_repeats([(user.id, Place(faults, f"{source}: user '{user.id}'")) for user in others], "user")
    # Public users first, as in every other layout.
    order: dict[Role, int] = {"public": 0, "sharer": 1, "target": 2}
    people = sorted([*others, *targets], key=lambda user: order[user.role])
    return tuple(people), [also.note] if also.note else []


def source_of_sharers(config: DataConfig, path: Path) -> Path | None:
    """Tell where the sharers of LaMP's layout are.

    Args:
        config: The section `data`.
        path: The folder, or the targets' file of questions.

    Returns:
        What `sharers_from` names, else the train split beside the targets; None if there is neither.
    """
    if config.sharers_from is not None:
        return Path(config.sharers_from)
    beside = (path if path.is_dir() else path.parent) / lamp.SHARERS
    return beside if beside.is_file() and beside != path else None


def read_others(
    path: Path, task: Task, faults: Faults, keep: int | None, leave_out: AlsoTargets
) -> list[User]:
    """Read sharers and public users from whatever holds them.

    Args:
        path: A file of questions (everyone in it is a sharer), a users.jsonl, or a folder in any layout.
        task: The task.
        faults: Takes everything that is wrong.
        keep: Keep the first so many users of a file of questions, which may be long.
        leave_out: Tells who is a target as well.

    Returns:
        The users of the roles sharer and public; targets are left aside.

    Raises:
        DataError: The path does not exist or a file cannot be read at all.
    """
    layout = detect_layout(path)
    if layout == "lamp":
        questions = path / lamp.SHARERS if path.is_dir() else path
        return read_lamp(questions, task, faults, "sharer", keep, leave_out)
    if layout == "per-pcs":
        users = read_per_pcs(path, task, faults, ("public", "sharer"))
    else:
        users = read_users_jsonl(path / USERS if path.is_dir() else path, task, faults)
    return [u for u in users if u.role != "target" and not leave_out(u.id, u.history)]


def detect_layout(path: Path) -> LayoutName:
    """Tell from the files what layout a path has.

    Args:
        path: A users.jsonl file, a file of LaMP's questions, or a folder.

    Returns:
        `users`, `per-pcs` or `lamp`.

    Raises:
        DataError: The path does not exist, or it has no layout or several.
    """
    if path.is_file():
        return "lamp" if _is_questions(path) else "users"
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder", hint="check data.path, or give --data")
    found = _layouts_in(path)
    if len(found) > 1:
        names = " and ".join(found)
        raise DataError(f"{path}: holds both {names} files", hint=f"set data.layout to {' or '.join(found)}")
    if found:
        return found[0]
    inner = sorted(child.name for child in path.iterdir() if child.is_dir() and _layouts_in(child))
    hint = (
        f"did you mean a folder in it: {', '.join(inner)}?"
        if inner
        else f"a data folder holds {USERS}, LaMP's {lamp.TARGETS}, or the files of the Per-Pcs layout"
    )
    missing = f"neither {USERS} nor {per_pcs.SHARERS} nor {lamp.TARGETS} is in this folder"
    raise DataError(f"{path}: {missing}", hint=hint)


def detect_task(path: Path) -> str:
    """Tell from the files which task they hold.

    Args:
        path: A folder or a file in the layout of LaMP or of Per-Pcs, whose golds name their task.

    Returns:
        The task's id.

    Raises:
        DataError: The files do not say.
    """
    layout = detect_layout(path)
    if layout == "users":
        raise DataError(f"{path}: a users.jsonl does not say of which task it is", hint="give --task")
    if layout == "per-pcs":
        golds = path / per_pcs.GOLDS
    elif path.is_file():
        golds = lamp.outputs_beside(path)
    else:
        split = lamp.TARGETS if (path / lamp.TARGETS).is_file() else lamp.SHARERS
        golds = lamp.outputs_beside(path / split)
    return task_of_golds(golds)


def task_of_golds(path: Path) -> str:
    """Tell of which task a file of golds is.

    Args:
        path: The file. LaMP calls both editions of its second task LaMP_2; the questions beside it tell.

    Returns:
        The task's id.

    Raises:
        DataError: The file does not say, or cannot be read.
    """
    content = read_json(path)
    name = content.get("task") if isinstance(content, dict) else None
    found = tasks_named(name)
    if len(found) > 1:
        found = [task for task in found if _has_key(_first_profile(path), FORMS[task].answer)]
    if len(found) != 1:
        raise DataError(f"{path}: does not say of which task it is", hint="give --task")
    return found[0]


def _first_profile(golds: Path) -> object:
    """The first past item of the file of questions beside a file of LaMP's golds."""
    questions = golds.with_name(golds.name.replace(lamp.OUTPUTS, lamp.QUESTIONS))
    if questions == golds or not questions.is_file():
        return None
    first = next(read_json_list(questions), None)
    profile = first.get("profile") if isinstance(first, dict) else None
    return profile[0] if isinstance(profile, list) and profile else None


def _has_key(value: object, key: str) -> bool:
    return isinstance(value, dict) and key in value


def _layouts_in(path: Path) -> list[LayoutName]:
    holds: dict[LayoutName, tuple[str, ...]] = {
        "users": (USERS,),
        "per-pcs": (per_pcs.SHARERS, per_pcs.TARGETS),
        "lamp": (lamp.TARGETS, lamp.SHARERS),
    }
    return [layout for layout, names in holds.items() if any((path / name).is_file() for name in names)]


def _is_questions(path: Path) -> bool:
    return path.name.endswith(lamp.QUESTIONS)


def _capped(
    users: tuple[User, ...], role: Role, count: int | None, path: Path, notes: list[str]
) -> tuple[User, ...]:
    """Keep the first so many users of a role; to ask for more than there are is an error."""
    ids = [user.id for user in users if user.role == role]
    if count is None:
        return users
    key, noun = ("public", "public user") if role == "public" else (f"{role}s", role)
    if count > len(ids):
        # Who is left out, and why; in LaMP's time split everybody is in both files.
        left_out = "".join(f" ({note})" for note in notes)
        raise DataError(
            f"{path}: data.{key} asks for {plural(count, noun)}, but there are {len(ids)}{left_out}",
            hint=f"lower data.{key}, or set it to null for all of them",
        )
    dropped = set(ids[count:])
    return tuple(user for user in users if user.id not in dropped)
