"""Fetching LaMP from its host into a folder in LaMP's own layout.

The files stay with their host: none of them is part of this project. What is fetched is written down in a
lock file with sizes and checksums, so that another machine can tell that it has the same data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from prime_audit.core import (
    default_store,
    digest_file,
    make_private_dir,
    read_json,
    read_json_list,
    write_json,
)
from prime_audit.data import lamp
from prime_audit.data.download import Received, download
from prime_audit.errors import ConfigError, DataError

Split = Literal["user", "time"]

HOST = "https://ciir.cs.umass.edu/downloads/LaMP"
LOCK = "lamp.lock.json"
LICENCE = "CC BY-NC-SA 4.0"
LICENCE_TEXT = f"""\
LaMP (Salemi et al. 2024, arXiv:2304.11406) is licensed by its authors under
{LICENCE}: no commercial use, name the authors, share what you make of it
under the same licence (https://creativecommons.org/licenses/by-nc-sa/4.0/).
The collections that it was drawn from keep licences of their own, which you
must follow as well (https://lamp-benchmark.github.io/download)."""

# Where a task lies below the host. The movies moved in below the news, which were there first.
_FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "lamp-1": "LaMP_1",
        "lamp-2": "LaMP_2/new",
        "lamp-2n": "LaMP_2",
        "lamp-3": "LaMP_3",
        "lamp-4": "LaMP_4",
        "lamp-5": "LaMP_5",
        "lamp-7": "LaMP_7",
    }
)
_ACCEPTED = "licences.json"


@dataclass(frozen=True)
class Wanted:
    """One file to fetch: its name and its address."""

    name: str
    url: str


def wanted_files(task: str, split: Split, host: str = HOST) -> list[Wanted]:
    """List what is fetched for a task: questions and answers of the dev and of the train split.

    The test split has no public answers and is not fetched.

    Args:
        task: The task's id.
        split: `user` (other people in dev than in train) or `time` (later questions of the same people).
        host: The address that LaMP's folders lie below.

    Returns:
        Names and addresses.

    Raises:
        ConfigError: LaMP's host does not have the task.
    """
    if task == "lamp-6":
        raise ConfigError(
            "lamp-6 cannot be fetched: its e-mails are the Avocado collection (LDC2015T03), which the "
            "Linguistic Data Consortium licenses",
            hint="make the files with LaMP's own script from your copy, and name their folder with --data",
        )
    if task not in _FOLDERS:
        raise ConfigError(f"LaMP has no task '{task}'", hint=f"give one of {', '.join(_FOLDERS)}")
    base = f"{host.rstrip('/')}/{'time/' if split == 'time' else ''}{_FOLDERS[task]}"
    names = [f"{part}{kind}" for part in ("dev", "train") for kind in (lamp.OUTPUTS, lamp.QUESTIONS)]
    return [Wanted(name, f"{base}/{name.partition('_')[0]}/{name}") for name in names]


def fetch(
    task: str,
    split: Split,
    out: Path,
    *,
    host: str = HOST,
    say: Callable[[str], None],
    received: Callable[[str], Received],
) -> Path:
    """Fetch what is missing in a folder and write its lock file.

    Args:
        task: The task's id.
        split: `user` or `time`.
        out: The folder; made if it is missing. Files that the lock names are kept if they are unchanged.
        host: The address that LaMP's folders lie below.
        say: Told in one line of each file.
        received: Makes of a file's name what is told of its bytes.

    Returns:
        The lock file.

    Raises:
        ConfigError: LaMP's host does not have the task, or the folder holds another one.
        DataError: A file is not what was asked for, has changed, or did not arrive.
        OutputError: The folder cannot be written.
    """
    files = wanted_files(task, split, host)
    make_private_dir(out)
    lock = _read_lock(out / LOCK, task, split)
    for file in files:
        path, locked = out / file.name, lock.get(file.name)
        if path.is_file() and locked is not None:
            _check_locked(path, locked, f"the {LOCK} beside it")
            say(f"{file.name}: there already, unchanged")
            continue
        if path.exists():
            raise DataError(
                f"{path}: is there, and was not fetched", hint="move it away, or give another --out"
            )
        download(file.url, path, _whole_json, received(file.name))
        found = {"url": file.url, "bytes": path.stat().st_size, "sha256": digest_file(path)}
        if locked is not None:
            _check_locked(path, locked, f"{LOCK}, written when it was first fetched")
        lock[file.name] = found
        head = {"collection": "LaMP", "licence": LICENCE, "task": task, "split": split}
        write_json(out / LOCK, {**head, "files": lock})
        say(f"{file.name}: {found['bytes']} bytes")
    return out / LOCK


def licence_accepted() -> bool:
    """Tell whether LaMP's licence was accepted on this machine before.

    Returns:
        True if it was.
    """
    path = default_store() / _ACCEPTED
    if not path.is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and content.get("LaMP") == LICENCE


def accept_licence() -> None:
    """Write down that LaMP's licence was accepted, so that nobody is asked again.

    Raises:
        OutputError: It cannot be written.
    """
    path = make_private_dir(default_store()) / _ACCEPTED
    content = read_json(path) if path.is_file() else {}
    write_json(path, {**(content if isinstance(content, dict) else {}), "LaMP": LICENCE})


def _read_lock(path: Path, task: str, split: Split) -> dict[str, dict[str, object]]:
    if not path.is_file():
        return {}
    content = read_json(path)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(files, dict):
        raise DataError(
            f"{path}: this is no lock file of a fetched collection", hint="delete it to fetch again"
        )
    if (content.get("task"), content.get("split")) != (task, split):
        raise ConfigError(
            f"{path.parent}: holds {content.get('task')} in the split by {content.get('split')}",
            hint="give another --out",
        )
    return {name: entry for name, entry in files.items() if isinstance(entry, dict)}


def _check_locked(path: Path, locked: Mapping[str, object], where: str) -> None:
    if path.stat().st_size == locked.get("bytes") and digest_file(path) == locked.get("sha256"):
        return
    raise DataError(
        f"{path}: is not the file that {where} names (other size or checksum)",
        hint=f"delete the file to fetch it again; if the host has a new edition, delete {LOCK} as well",
    )


def _whole_json(path: Path) -> None:
    """Refuses a page or half a file; LaMP's host answers a wrong address with a page and no error."""
    try:
        if lamp.OUTPUTS in path.name:
            read_json(path)
        else:
            for _ in read_json_list(path):
                pass
    except DataError as error:
        raise DataError(f"not the file that was asked for: {error}", hint=error.hint) from error
