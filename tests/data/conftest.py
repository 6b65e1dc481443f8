"""Small data folders in both layouts, as plain objects that a test may break before writing them."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

QUESTION = "How good is it? Answer with a digit. review: "


def history(user: str, count: int) -> list[dict[str, Any]]:
    """Faultless review items whose texts have nothing in common."""
    return [
        {
            "id": f"{user}{i:03}",
            "text": f"{user} item{i} says words{i}",
            "score": str(i % 5 + 1),
            "date": "2001-02-03",
        }
        for i in range(count)
    ]


class PerPcs(SimpleNamespace):
    """The files of a Per-Pcs folder."""

    def __init__(self) -> None:
        self.base: Any = [{"user_id": "p1", "profile": history("p1", 3), "query": []}]
        self.sharers: Any = [
            {"user_id": 21, "profile": history("21", 4), "query": [{"id": "x", "input": "no marker"}]},
            {"user_id": "22", "profile": history("22", 4)},
        ]
        self.targets: Any = [
            {
                "user_id": "31",
                "profile": history("31", 5),
                "query": [
                    {"id": "q1", "input": QUESTION + "a review: twice marked "},
                    {"id": "q2", "input": QUESTION + "fine"},
                ],
            }
        ]
        self.golds: Any = {
            "task": "LaMP_3",
            "golds": [{"id": "q1", "output": "4"}, {"id": "q2", "output": 5}],
        }
        self.profiles: Any = {"31": "Gives four stars.", "99": 3}

    def write(self, folder: Path) -> Path:
        """Write all files."""
        (folder / "test_100").mkdir(parents=True)
        for name, content in (
            ("user_base_LLM", self.base),
            ("user_anchor_candidate", self.sharers),
            ("test_100/user_test_100", self.targets),
            ("test_100/user_test_100_label", self.golds),
            ("profile-id2text", self.profiles),
        ):
            (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
        return folder


@pytest.fixture
def per_pcs() -> PerPcs:
    return PerPcs()


@pytest.fixture
def people() -> list[dict[str, Any]]:
    """The lines of a faultless users.jsonl for headlines."""

    def items(stem: str, count: int) -> list[dict[str, Any]]:
        return [
            {"id": f"{stem}{i}", "input": f"{stem} text {i}", "answer": f"{stem} title {i}"}
            for i in range(count)
        ]

    return [
        {"user": "p1", "role": "public", "history": items("p", 2)},
        {"user": "s1", "role": "sharer", "history": items("s", 3), "queries": [{"id": "z", "input": "open"}]},
        {
            "user": 7,
            "role": "target",
            "history": items("t", 3),
            "queries": items("q", 2),
            "profile_text": "Short.",
        },
    ]


@pytest.fixture
def write_people(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    def write(lines: list[dict[str, Any]]) -> Path:
        path = tmp_path / "users.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write
