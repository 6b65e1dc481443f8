"""Writing what an audit of one's own found: results.json, manifest.json and the evidence."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from prime_audit.bring.outcome import Brought
from prime_audit.core import make_private_dir, write_json
from prime_audit.errors import OutputError
from prime_audit.results import Results, read_results, write_results

DEFAULT_OUT: Final = Path("reports/attack")
# What another command writes, and this one would otherwise mix its own files with.
_OF_STUDIES: Final = ("config.resolved.yaml", "journal.jsonl")
_OUTPUTS: Final = ("results.json", "manifest.json", "gate.json", "report.html", "summary.md", "junit.xml")


def check_out(out: Path) -> None:
    """Refuses a directory that holds something else than an earlier attack.

    Args:
        out: The run directory.

    Raises:
        OutputError: It is a file, or holds the run of a study.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: this is a file", hint="name a folder with --out")
    if any((out / name).exists() for name in _OF_STUDIES):
        raise OutputError(f"{out}: holds the run of a study", hint="name another folder with --out")


def write_run(out: Path, results: Results, brought: Brought, started: str) -> Results:
    """Writes a run; what an earlier attack left in the directory is replaced.

    Args:
        out: The run directory; it is created, with mode 0700.
        results: What was found.
        brought: What was handed in.
        started: When the command started.

    Returns:
        The results as they read back, rounded as in the file.

    Raises:
        OutputError: The directory cannot be written.
    """
    _clear(out)
    _write_evidence(out / "evidence", brought)
    return _finish(out, results, _about_lists(results, brought), brought.packages, started)


def write_facts(
    out: Path, results: Results, facts: Mapping[str, object], packages: Sequence[str], started: str
) -> Results:
    """Writes a run that has no records, and so no evidence to keep.

    Args:
        out: The run directory; it is created, with mode 0700, and an earlier attack there is replaced.
        results: What was found.
        facts: What the manifest says beside what every run says.
        packages: Packages that took part.
        started: When the command started.

    Returns:
        The results as they read back, rounded as in the file.

    Raises:
        OutputError: The directory cannot be written.
    """
    _clear(out)
    return _finish(out, results, facts, packages, started)


def _clear(out: Path) -> None:
    """Until all is written, nothing of an earlier run may be read as this one's."""
    make_private_dir(out)
    for name in _OUTPUTS:
        (out / name).unlink(missing_ok=True)
    for earlier in ((out / "evidence").glob("*.safetensors"), (out / "evidence").glob("records.json")):
        for path in earlier:
            path.unlink()


def _finish(
    out: Path, results: Results, facts: Mapping[str, object], packages: Sequence[str], started: str
) -> Results:
    write_json(out / "manifest.json", {**_manifest(packages, started), **facts})
    write_results(out / "results.json", results)
    return read_results(out / "results.json")


def now() -> str:
    """Returns the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_evidence(folder: Path, brought: Brought) -> None:
    """Token scores without text, and the records that they are about."""
    if not brought.evidence:
        return
    make_private_dir(folder)
    for name, scores in brought.evidence.items():
        scores.save(folder / f"{name}.safetensors")
    rows = zip(brought.listed.ids, brought.listed.users, brought.listed.member.tolist(), strict=True)
    records = [{"id": name, "user": user, "member": member} for name, user, member in rows]
    write_json(folder / "records.json", records)


def _manifest(packages: Sequence[str], started: str) -> dict[str, object]:
    """Everything about the run that may differ between equal runs."""
    return {
        "tool": {"name": "prime-audit", "version": metadata.version("prime-audit")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_threads": os.cpu_count() or 1,
        "packages": {name: metadata.version(name) for name in packages},
        "command": shlex.join([os.path.basename(sys.argv[0]) or "prime-audit", *sys.argv[1:]]),
        "started": started,
        "finished": now(),
    }


def _about_lists(results: Results, brought: Brought) -> Mapping[str, object]:
    listed = brought.listed
    members = int(listed.member.sum())
    return {
        "study": {"name": results.study.name, **brought.settings},
        "design": {
            "name": results.study.design,
            "users": len(set(listed.users)),
            "members": members,
            "nonmembers": len(listed.ids) - members,
            "compared": "within each user" if listed.within else "over all records",
            # Non-members that nearly repeat a member blur the line that is measured.
            "overlaps": listed.repeats,
        },
        "notes": list(brought.notes),
        **brought.described,
    }
