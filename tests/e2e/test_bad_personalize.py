"""Bad input to `personalize`: exit code 2, the reason and the remedy, and nothing half-written."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tests.e2e.conftest import Trained, plain
from tests.support import Finished

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
# Protocol 0 of pickle: calling this would leave a file behind.
PICKLE = b"cos\nsystem\n(S'touch pwned'\ntR."
# Stands in for what a person wrote; no message may repeat it.
PRIVATE = "privatewords"
Tensors = dict[str, NDArray[np.float32]]


@pytest.fixture
def adapters(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the adapters, to be damaged."""
    return Path(shutil.copytree(trained.adapters, tmp_path / "adapters"))


def refused(finished: Finished, out: Path, *parts: str) -> None:
    """The command ended with 2, said every part and a remedy, and left nothing half-written."""
    assert finished.code == 2, finished.stderr
    assert finished.stdout == ""
    for part in (*parts, r"^hint: \S"):
        assert re.search(part, finished.stderr, re.MULTILINE), f"{part!r} is not in:\n{finished.stderr}"
    assert "Traceback" not in finished.stderr
    assert PRIVATE not in finished.stderr
    assert not out.exists()
    assert not list(out.parent.glob(".*"))


def changed(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def wider(tensors: Tensors) -> Tensors:
    return {name: t.repeat(2, axis=1) if "lora_A" in name else t for name, t in tensors.items()}


def with_value(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        next(iter(tensors.values()))[0, 0] = value
        return tensors

    return change


def without_values(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if "v_proj" not in name}


def of_another_base(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = "somewhere/else-8b"
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def only_a_pickle(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "adapter_model.bin").write_bytes(PICKLE)


def twin(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("a-friend"))


def in_capitals(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(folder.name.upper()))


def linked_away(folder: Path) -> None:
    elsewhere = folder.parent.with_name("elsewhere")
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (
            lambda f: changed(f, wider),
            ["sharer-02", "for another base", r"\d+ x \d+ in the model and \d+ x \d+"],
        ),
        (lambda f: changed(f, with_value(math.nan)), ["sharer-02", "NaN or infinity", r"layers\.0"]),
        (
            lambda f: changed(f, without_values),
            [
                "'sharer-01' and 'sharer-02' change different layers",
                r"v_proj \(\d+ x \d+\) is in 'sharer-01'",
            ],
        ),
        (of_another_base, ["'sharer-01' and 'sharer-02' are for different bases: 'tiny' and 'else-8b'"]),
        (only_a_pickle, ["sharer-02", "pickled", r"adapter_model\.bin", "save_pretrained"]),
        (twin, ["named twice: 'a-friend' and 'sharer-02' hold the same module"]),
        (in_capitals, ["'sharer-02' is named twice: 'SHARER-02' and 'sharer-02'"]),
        (linked_away, ["sharer-02: a link that leads out of"]),
    ],
    ids=["shape", "nan", "targets", "base", "pickle", "twin", "case", "link"],
)
def test_an_adapter_that_cannot_be_merged(
    damage: Callable[[Path], None], parts: list[str], adapters: Path, trained: Trained, tmp_path: Path
) -> None:
    damage(adapters / "sharer-02")
    out = tmp_path / "out"
    refused(trained.personalize(out, "--method", "uniform", adapters=adapters), out, *parts)
    assert not list(trained.home.rglob("pwned"))
    assert not list(tmp_path.rglob("pwned"))


def test_every_bad_adapter_is_named(adapters: Path, trained: Trained, tmp_path: Path) -> None:
    only_a_pickle(adapters / "sharer-01")
    changed(adapters / "sharer-03", with_value(math.inf))
    out = tmp_path / "out"
    finished = trained.personalize(out, adapters=adapters)
    refused(finished, out, "2 of 4 adapters cannot be used", "sharer-01.*pickled", "sharer-03.*NaN")


def test_the_adaptation_must_fit_the_base_too(adapters: Path, trained: Trained, tmp_path: Path) -> None:
    changed(adapters / "sharer-04", wider)
    out = tmp_path / "out"
    refused(trained.personalize(out, adapt=adapters / "sharer-04"), out, "sharer-04", "for another base")


def test_a_history_shorter_than_the_split(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "short.jsonl"
    lines = [json.dumps(plain(item)) for item in trained.target.history[:3]]
    path.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    refused(
        trained.personalize(out, history=path),
        out,
        r"short\.jsonl: holds 3 items.*a selection part needs 4",
        "a method without a search",
    )


def test_every_broken_item_is_listed(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    lines = [
        {"input": PRIVATE, "answer": "fine"},
        {"input": PRIVATE},
        {"input": " ", "answer": PRIVATE},
        {"id": "line-1", "input": PRIVATE, "answer": PRIVATE},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"input": "' + PRIVATE, encoding="utf-8")
    out = tmp_path / "out"
    refused(
        trained.personalize(out, history=path),
        out,
        "4 faults",
        r"broken\.jsonl:2: answer: missing",
        r"broken\.jsonl:3: input: empty text",
        r"broken\.jsonl:4: item id 'line-1' is used before",
        r"broken\.jsonl: line 5, column \d+",
    )


def test_a_budget_below_the_population(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished = trained.personalize(out, "--set", "budget=5", "--set", "population=9")
    refused(finished, out, "budget is 5, but one generation takes 9", r"at least \d+")


def test_a_task_file_whose_metric_is_missing(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(
        "id: mine\ninstruction: Do it.\ninput_name: Text\nanswer_name: Title\nmetric: rouge_l\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    refused(
        trained.personalize(out, task=path),
        out,
        r"task\.yaml: the key 'kind' is missing",
        "unknown key 'metric'",
        "the metric follows from the kind",
    )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--method", "oppu"], ["'oppu' cannot be used here", "own history", "these can: .*prime"]),
        (["--method", "prme"], ["prme", "did you mean 'prime'"]),
        (["--set", "bugdet=9"], ["--set", "unknown key 'bugdet'; did you mean 'budget'"]),
        (["--set", "model.device=tpu"], ["--set: model.device", "cpu"]),
        (["--task", "lamp-9"], ["no task 'lamp-9'", "lamp-4"]),
    ],
    ids=["own-module", "kind", "key", "device", "task"],
)
def test_settings_that_cannot_be(
    options: list[str], parts: list[str], trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused(trained.personalize(out, *options), out, *parts)


def test_what_is_in_the_way_stays(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine", encoding="utf-8")
    finished = trained.personalize(out)
    assert finished.code == 2
    assert "a personalisation already" in finished.stderr
    assert "--force" in finished.stderr
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    # What this command did not write it does not replace.
    finished = trained.personalize(out, "--force")
    assert finished.code == 2
    assert re.search(r"other files, such as notes\.txt", finished.stderr)
    assert {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()} == {
        "README.md": "mine",
        "notes.txt": "mine",
    }


def test_a_place_that_cannot_be_written_is_found_first(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    out = tmp_path / "file" / "out"
    finished = trained.personalize(out, history=tmp_path / "nowhere")
    assert finished.code == 2
    assert "cannot be written" in finished.stderr
    inner = trained.adapters / "me"
    refused(trained.personalize(inner), inner, "would be read as one more sharer")
