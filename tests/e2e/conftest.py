"""What the tests of `personalize` share: modules that a small study trained, laid out as a user has them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from prime_audit.config import load_study
from prime_audit.data import Item, User
from prime_audit.study.inputs import load_dataset
from tests.support import Finished, run_cli, write_study


@dataclass(frozen=True)
class Trained:
    """Adapters of four sharers, the task adaptation below them, and the history of one target.

    Attributes:
        home: The home of the command that trained them.
        adapters: One PEFT adapter per sub-folder.
        adapt: The adapter that the base was adapted with.
        history: The target's whole history as users.jsonl.
        target: The target.
    """

    home: Path
    adapters: Path
    adapt: Path
    history: Path
    target: User

    def personalize(
        self, out: Path, *options: str | Path, home: Path | None = None, **replaced: str | Path | None
    ) -> Finished:
        """Run the command; a keyword replaces the argument of that option, None leaves the option out."""
        given: dict[str, str | Path | None] = {
            "base": "tiny",
            "adapters": self.adapters,
            "history": self.history,
            "task": "lamp-4",
            "adapt": self.adapt,
            "out": out,
            **replaced,
        }
        words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
        return run_cli("personalize", *words, *options, home=home or self.home)

    @property
    def run(self) -> Path:
        """The directory of the run that trained them."""
        return self.home / "reports" / "small"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = tmp_path_factory.mktemp("trained")
    study = write_study(home, training={"rank": 4, "alpha": 8, "lr": 1e-2, "epochs": 2})
    finished = run_cli("evaluate", study, home=home)
    assert finished.code == 0, finished.stderr
    lines = (home / "reports" / "small" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    for entry in map(json.loads, lines):
        stage, _, user = entry["unit"].partition("/")
        place = {"train": home / "adapters" / user, "adapt": home / "adapt"}.get(stage)
        if place is not None:
            shutil.copytree(home / "cache" / "modules" / entry["key"], place)
    (target,) = load_dataset(load_study(study)).targets
    record = {"user": target.id, "role": "target", "history": [plain(item) for item in target.history]}
    history = home / "users.jsonl"
    history.write_text(json.dumps({**record, "queries": [plain(q) for q in target.queries]}) + "\n")
    return Trained(home, home / "adapters", home / "adapt", history, target)


def plain(item: Item) -> dict[str, str | None]:
    """An item as a line of a history file holds it."""
    return {"id": item.id, "input": item.input, "answer": item.answer}
