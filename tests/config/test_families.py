"""Families of studies: every member is a study like any other."""

from pathlib import Path

import pytest

from prime_audit.config import OppuMethod, bundled_studies, load_study
from prime_audit.config.families import members, read_member
from prime_audit.errors import ConfigError

FAMILY = """\
layers:
  low: {task: lamp-4, data: {sharers: 4, targets: 2}, methods: [base, uniform]}
members:
  one: [low, {data: {sharers: 9}, methods: [base]}]
  two: [none]
"""


def test_layers_add_up_key_by_key_and_lists_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(FAMILY)
    assert members(tmp_path) == {"one": path, "two": path}
    assert read_member(path, "one") == {
        "name": "one",
        "task": "lamp-4",
        "data": {"sharers": 9, "targets": 2},
        "methods": ["base"],
    }
    with pytest.raises(ConfigError, match="two: there is no layer 'none'"):
        read_member(path, "two")
    (tmp_path / "g.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError, match="'layers' and 'members'"):
        members(tmp_path)


@pytest.mark.parametrize("size", ["", "-small"])
@pytest.mark.parametrize("number", range(1, 8))
def test_there_is_a_study_of_every_task_in_two_sizes(number: int, size: str) -> None:
    name = f"lamp-{number}{size}"
    assert name in bundled_studies()
    study = load_study(name, ["training.rank=4"], seed=3, data=Path("somewhere"))
    assert (study.name, study.task, study.data.layout) == (name, f"lamp-{number}", "lamp")
    assert (study.training.rank, study.seed) == (4, 3)
    assert study.model.base == ("smollm2" if size else "meta-llama/Llama-3.2-3B")
    assert study.data.path == str(Path("somewhere").resolve())


def test_the_published_settings_are_those_of_prime() -> None:
    study = load_study("lamp-3")
    assert (study.training.lr, study.training.batch_size, study.training.epochs) == (2e-5, 6, 3)
    assert (study.adaptation.lr, study.adaptation.epochs, study.sharers.per_target) == (1e-4, 3, 3)
    assert load_study("lamp-2").data.sharers == 10
    assert [m.id for m in study.methods][-2:] == ["prime", "official"]
    (oppu,) = (method for method in study.methods if isinstance(method, OppuMethod))
    assert (oppu.rank, oppu.alpha, oppu.lr, oppu.epochs) == (8, 8, 1e-4, 2)
