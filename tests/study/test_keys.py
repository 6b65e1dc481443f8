"""What is kept is used again only where nothing that it was made from has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prime_audit.config import load_study
from prime_audit.study.inputs import draw_design, load_dataset
from prime_audit.study.plan import plan
from prime_audit.study.store import Store
from prime_audit.study.workbench import Workbench
from tests.support import user, write_study, write_users

METHODS = [
    "base",
    {"kind": "rag", "retriever": "random"},
    {"kind": "profile", "source": "given", "independent": True},
    "in-context",
    "oppu-rag",
    "uniform",
]


def people() -> list[dict[str, Any]]:
    found = [user("ann", "target"), user("bob"), user("eve"), user("pat", "public")]
    found[0]["profile_text"] = "writes plainly"
    for one in found:
        for place, item in enumerate(one["history"]):
            item["date"] = f"2024-01-{place + 1:02d}"
    found[0]["queries"][0]["date"] = "2024-02-01"
    return found


def keys(folder: Path, users: list[dict[str, Any]], design: str = "holdout", **run: object) -> dict[str, str]:
    folder.mkdir()
    path = write_users(folder, *users)
    data = {"path": str(path), "layout": "auto", "sharers": None, "targets": None}
    study = write_study(
        folder,
        data=data,
        methods=METHODS,
        sharers={"per_target": 1 if design == "prime-paper" else 2},
        audit={"controls": [], "design": design},
        **run,
    )
    config = load_study(str(study))
    dataset = load_dataset(config)
    bench = Workbench(config, dataset, draw_design(config, dataset), Store(folder / "store"), folder)
    return {unit.name: unit.key for unit in plan(bench, {})}


def changed(tmp_path: Path, edit: Callable[[list[dict[str, Any]]], None]) -> set[str]:
    """Names of the units whose keys an edit of the users changes."""
    users = people()
    before = keys(tmp_path / "before", users)
    edit(users)
    after = keys(tmp_path / "after", users)
    assert before.keys() == after.keys()
    return {name for name, key in before.items() if after[name] != key}


def of_target(name: str) -> Callable[[list[dict[str, Any]]], None]:
    def edit(users: list[dict[str, Any]]) -> None:
        for item in users[0]["history"]:
            item[name] = {"date": "2023-05-05", "answer": "another", "input": "another"}[name]

    return edit


def queried_later(users: list[dict[str, Any]]) -> None:
    users[0]["queries"][0]["date"] = "2024-03-01"


def described_otherwise(users: list[dict[str, Any]]) -> None:
    users[0]["profile_text"] = "writes at length"


def public_otherwise(users: list[dict[str, Any]]) -> None:
    users[3]["history"][0]["date"] = "2020-01-01"


def roles_changed(users: list[dict[str, Any]]) -> None:
    users[1]["role"], users[2]["role"] = "public", "sharer"
    users[3]["role"] = "sharer"


def names_swapped(users: list[dict[str, Any]]) -> None:
    users[1]["user"], users[2]["user"] = users[2]["user"], users[1]["user"]


@pytest.mark.parametrize("design", ["holdout", "prime-paper"])
@pytest.mark.parametrize("edit", [roles_changed, names_swapped])
def test_who_somebody_is_decides_whom_targets_select(
    tmp_path: Path, edit: Callable[[list[dict[str, Any]]], None], design: str
) -> None:
    users = people()
    before = keys(tmp_path / "before", users, design=design)
    edit(users)
    after = keys(tmp_path / "after", users, design=design)
    assert before["select"] != after["select"]
    assert before["count/tokens"] != after["count/tokens"]


@pytest.mark.parametrize("edit", [of_target("date"), of_target("answer"), of_target("input")])
def test_a_targets_past_items_with_their_dates_decide_what_is_made_of_them(
    tmp_path: Path, edit: Callable[[list[dict[str, Any]]], None]
) -> None:
    found = changed(tmp_path, edit)
    assert {"deploy/rag/ann", "deploy/oppu-rag/ann", "own/oppu-rag/ann"} <= found
    assert not {"train/bob", "train/eve"} & found


def test_the_date_of_a_query_the_profile_and_public_items_decide_what_is_shown(tmp_path: Path) -> None:
    for place, (edit, expected) in enumerate(
        [
            (queried_later, "deploy/rag/ann"),
            (described_otherwise, "deploy/profile/ann"),
            (public_otherwise, "deploy/in-context/ann"),
        ]
    ):
        folder = tmp_path / str(place)
        folder.mkdir()
        found = changed(folder, edit)
        assert expected in found
        assert not {"train/bob", "train/eve"} & found


def test_a_training_seed_decides_what_methods_draw(tmp_path: Path) -> None:
    first = keys(tmp_path / "first", people())
    again = keys(tmp_path / "again", people(), training={"rank": 2, "epochs": 1, "seed": 5})
    same = keys(tmp_path / "same", people(), training={"rank": 2, "epochs": 1})
    assert again["deploy/rag/ann"] != same["deploy/rag/ann"]
    assert again["deploy/in-context/ann"] != same["deploy/in-context/ann"]
    assert again["adapt"] == same["adapt"]
    assert first.keys() == again.keys()
