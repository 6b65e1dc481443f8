"""`prime-audit list`: what a study file may name."""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from textwrap import wrap
from typing import Annotated

import typer

Row = dict[str, object]
_WIDTH = 80
_NARROWEST = 20


class Kind(StrEnum):
    """What can be listed."""

    studies = "studies"
    tasks = "tasks"
    methods = "methods"
    attacks = "attacks"


def list_known(
    what: Annotated[Kind, typer.Argument(metavar="studies|tasks|methods|attacks", help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """List what a study file may name."""
    rows = _LISTS[what]()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for line in _attack_lines(rows) if what is Kind.attacks else _table(rows):
        typer.echo(line)


def _studies() -> list[Row]:
    from prime_audit.config import bundled_studies, load_study

    studies = {name: load_study(name) for name in bundled_studies()}
    return [
        {
            "id": name,
            "task": study.task,
            "model": study.model.base,
            "needs": "--data" if study.data.path is None and study.data.layout != "auto" else "",
            "methods": [method.id for method in study.methods],
        }
        for name, study in studies.items()
    ]


def _tasks() -> list[Row]:
    from prime_audit.data import TASKS

    return [
        {"id": task.id, "kind": task.kind, "metric": task.metric, "title": task.title}
        for task in TASKS.values()
    ]


def _methods() -> list[Row]:
    from prime_audit.config import installed
    from prime_audit.personalize import METHODS

    rows: list[Row] = [
        {"id": method.kind, "family": method.family, "label": method.label, "source": method.source}
        for method in METHODS.values()
    ]
    prime = next(row for row in rows if row["id"] == "prime")
    as_published = {"id": "official", "label": "PriME as published", "source": "preset of prime"}
    rows.insert(rows.index(prime) + 1, {**prime, **as_published})
    # A plug-in is imported when a study names it and not before, so its name and package are all there is.
    plugins = installed("prime_audit.methods")
    return rows + [{"id": name, "family": "plug-in", "label": "", "source": who} for name, who in plugins]


def _attacks() -> list[Row]:
    from attacks import ATTACKS
    from prime_audit.config import installed

    rows: list[Row] = [
        {
            "id": attack.id,
            "kind": attack.kind,
            "needs": list(attack.needs),
            "threat_model": attack.threat_model,
            "source": attack.source,
        }
        for attack in ATTACKS.values()
    ]
    blank: Row = {"kind": "plug-in", "needs": [], "threat_model": ""}
    return rows + [{"id": name, **blank, "source": who} for name, who in installed("prime_audit.attacks")]


_LISTS: Mapping[Kind, Callable[[], list[Row]]] = {
    Kind.studies: _studies,
    Kind.tasks: _tasks,
    Kind.methods: _methods,
    Kind.attacks: _attacks,
}


def _attack_lines(rows: list[Row]) -> list[str]:
    """The table without the kind, which is the same for all, and with the meaning of its columns below."""
    from prime_audit.cli.attack_words import legend

    shown: list[Row] = [
        {
            "id": row["id"],
            "who": row["threat_model"],
            "source": str(row["source"]).replace(", arXiv:", ", "),
            "needs": row["needs"],
        }
        for row in rows
    ]
    return [*_table(shown, wide="needs"), *legend()]


def _table(rows: list[Row], wide: str = "") -> list[str]:
    """Lay rows out in aligned columns under their names; the last one is wrapped if it is named as wide."""
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    left = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = max(_WIDTH - left, _NARROWEST) if wide else widths[-1]
    lines = []
    for *line, last in cells:
        start = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        first, *more = wrap(last, room) if wide else [last]
        lines += [f"{start}  {first}".rstrip(), *(" " * left + part for part in more)]
    return lines


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
